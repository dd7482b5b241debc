// candor: telemetry that users can trust. MIT licence, see LICENSE.
#ifndef CANDOR_VERSION_HPP
#define CANDOR_VERSION_HPP

/// The library's version, as semantic versioning has it. The build files read it from here.
#define CANDOR_VERSION_MAJOR 0
#define CANDOR_VERSION_MINOR 1
#define CANDOR_VERSION_PATCH 0
#define CANDOR_VERSION_STRING "0.1.0"

#endif
