// All of candor but what needs cpp-httplib: nothing to link, on any platform.
#ifndef CANDOR_CORE_HPP
#define CANDOR_CORE_HPP

#include <candor/version.hpp>  // first: it refuses a compiler that does not read C++20

#include <candor/command.hpp>
#include <candor/consent/choice.hpp>
#include <candor/consent/ci.hpp>
#include <candor/consent/level.hpp>
#include <candor/consent/notice.hpp>
#include <candor/consent/resolver.hpp>
#include <candor/delivery/statistics.hpp>
#include <candor/event/catalog.hpp>
#include <candor/event/fields.hpp>
#include <candor/event/init.hpp>
#include <candor/event/login.hpp>
#include <candor/event/sync.hpp>
#include <candor/identity/account.hpp>
#include <candor/identity/internal_team.hpp>
#include <candor/identity/uuid.hpp>
#include <candor/otlp/receiver.hpp>
#include <candor/otlp/table.hpp>
#include <candor/otlp/text_table.hpp>
#include <candor/policy/clock.hpp>
#include <candor/policy/environment.hpp>
#include <candor/policy/error.hpp>
#include <candor/policy/product.hpp>
#include <candor/policy/server.hpp>
#include <candor/policy/transport.hpp>
#include <candor/privacy/redactor.hpp>
#include <candor/rudderstack/client.hpp>
#include <candor/sentry/client.hpp>
#include <candor/sentry/crash.hpp>
#include <candor/sentry/crash_recovery.hpp>
#include <candor/sentry/terminate.hpp>
#include <candor/telemetry.hpp>
#include <candor/telemetry_options.hpp>
#include <candor/testing.hpp>

#endif
