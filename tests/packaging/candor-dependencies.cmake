# Finds cpp-httplib and offers it as candor::httplib. Both the build and the installed candor-config.cmake include this
# file, so that a consumer gets it by the rules with which candor was tested: an installed CMake package, else
# pkg-config (Debian splits the library into a header and a shared object and describes that only there).
function(candor_find_httplib)
  if(TARGET candor::httplib)
    return()
  endif()
  set(oldest 0.11.4)
  set(global "")
  if(CMAKE_FIND_PACKAGE_TARGETS_GLOBAL)
    set(global GLOBAL)
  endif()

  # The package's own version file refuses every minor version but one, hence the comparison here.
  if(NOT TARGET httplib::httplib)
    find_package(httplib CONFIG QUIET)
  endif()
  if(TARGET httplib::httplib AND NOT (httplib_VERSION AND httplib_VERSION VERSION_LESS oldest))
    add_library(candor::httplib INTERFACE IMPORTED ${global})
    target_link_libraries(candor::httplib INTERFACE httplib::httplib)
    return()
  endif()

  find_package(PkgConfig QUIET)
  if(NOT PKG_CONFIG_FOUND)
    return()
  endif()
  pkg_check_modules(candor_httplib QUIET IMPORTED_TARGET ${global} cpp-httplib>=${oldest})
  if(TARGET PkgConfig::candor_httplib)
    add_library(candor::httplib INTERFACE IMPORTED ${global})
    target_link_libraries(candor::httplib INTERFACE PkgConfig::candor_httplib)
    if("-DCPPHTTPLIB_ZLIB_SUPPORT" IN_LIST candor_httplib_CFLAGS_OTHER)
      find_package(ZLIB REQUIRED)  # candor's transport calls it directly
      target_link_libraries(candor::httplib INTERFACE ZLIB::ZLIB)
    endif()
  endif()
endfunction()
