// candor: telemetry that users can trust.
//
// Everything, with the names that programs use. Needs cpp-httplib; with CANDOR_NO_HTTPLIB defined it is core.hpp, for
// programs that bring a transport of their own.
#ifndef CANDOR_CANDOR_HPP
#define CANDOR_CANDOR_HPP

#include <candor/core.hpp>

#ifndef CANDOR_NO_HTTPLIB

#include <candor/httplib/server.hpp>
#include <candor/httplib/transport.hpp>

namespace candor {

/// A program's telemetry over HTTP, in real time.
using telemetry = basic_telemetry<httplib_transport, system_clock>;

/// The same of a program that names all its events: `candor::telemetry_of<build_finished, candor::init_started>`.
template <event... Events>
using telemetry_of = basic_telemetry<httplib_transport, system_clock, process_environment, event_list<Events...>>;

}  // namespace candor

namespace candor::rudderstack {

/// A RudderStack client over HTTP, in real time.
using client = basic_client<httplib_transport, system_clock>;

}  // namespace candor::rudderstack

namespace candor::sentry {

/// A Sentry client over HTTP, in real time.
using client = basic_client<httplib_transport, system_clock>;

}  // namespace candor::sentry

namespace candor::otlp {

/// A receiver of workers' metrics over HTTP, in real time.
using receiver = basic_receiver<httplib_server, system_clock>;

}  // namespace candor::otlp

#endif

#endif
