#ifndef CANDOR_PLATFORM_WINDOWS_HPP
#define CANDOR_PLATFORM_WINDOWS_HPP

// <windows.h>, in a form that the standard library and sockets get along with. Nothing on other systems.
#ifdef _WIN32
#ifndef NOMINMAX
#define NOMINMAX
#endif
#ifndef WIN32_LEAN_AND_MEAN
#define WIN32_LEAN_AND_MEAN
#endif
#include <winsock2.h>  // must come before the other

#include <windows.h>
#endif

#endif
