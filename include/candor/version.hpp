// candor: telemetry that users can trust. MIT licence, see LICENSE.
#ifndef CANDOR_VERSION_HPP
#define CANDOR_VERSION_HPP

// Visual Studio says 199711L in __cplusplus, whatever it reads.
#if defined(_MSVC_LANG) ? _MSVC_LANG < 202002L : __cplusplus < 202002L
#error "candor needs C++20: compile with -std=c++20 or later, or with /std:c++20 for Visual Studio"
#endif

/// The library's version, as semantic versioning has it. The build files read it from here.
#define CANDOR_VERSION_MAJOR 0
#define CANDOR_VERSION_MINOR 1
#define CANDOR_VERSION_PATCH 0
#define CANDOR_VERSION_STRING "0.1.0"

#endif
