# The headers, a CMake package (candor::candor), a pkg-config file (candor) and the licence.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

install(DIRECTORY ${PROJECT_SOURCE_DIR}/include/candor DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(FILES ${PROJECT_SOURCE_DIR}/LICENSE DESTINATION ${CMAKE_INSTALL_DATADIR}/licenses/candor)

set(package ${CMAKE_INSTALL_DATADIR}/cmake/candor)
install(TARGETS candor EXPORT candor INCLUDES DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(EXPORT candor FILE candor-targets.cmake NAMESPACE candor:: DESTINATION ${package})
configure_package_config_file(${CMAKE_CURRENT_LIST_DIR}/candor-config.cmake.in candor-config.cmake
                              INSTALL_DESTINATION ${package})
# Before 1.0 a minor version may break; nothing in a header-only package depends on the architecture.
write_basic_package_version_file(candor-config-version.cmake COMPATIBILITY SameMinorVersion ARCH_INDEPENDENT)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/candor-config.cmake
              ${CMAKE_CURRENT_BINARY_DIR}/candor-config-version.cmake
              ${CMAKE_CURRENT_LIST_DIR}/candor-dependencies.cmake
        DESTINATION ${package})

# pkg-config: a dependency that it cannot resolve here came without a .pc file, as cpp-httplib's header alone does.
# It is then expected on the compiler's own path.
set(candor_pc_requires "")
find_package(PkgConfig QUIET)
foreach(module nlohmann_json cpp-httplib)
  if(PKG_CONFIG_FOUND)
    pkg_check_modules(candor_pc_${module} QUIET ${module})
  endif()
  if(candor_pc_${module}_FOUND)
    string(APPEND candor_pc_requires " ${module}")
  endif()
endforeach()
if("-DCPPHTTPLIB_ZLIB_SUPPORT" IN_LIST candor_pc_cpp-httplib_CFLAGS_OTHER)
  string(APPEND candor_pc_requires " zlib")
endif()
configure_file(${CMAKE_CURRENT_LIST_DIR}/candor.pc.in candor.pc @ONLY)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/candor.pc DESTINATION ${CMAKE_INSTALL_DATADIR}/pkgconfig)
