#ifndef CANDOR_PRESETS_CLOUDQUERY_HPP
#define CANDOR_PRESETS_CLOUDQUERY_HPP

#include <string>
#include <utility>

#include <candor/policy/product.hpp>
#include <candor/telemetry.hpp>

/// The telemetry of the CloudQuery CLI. Its variables are `CQ_TELEMETRY_LEVEL`, `CQ_NO_TELEMETRY`,
/// `CQ_RUDDERSTACK_WRITE_KEY`, `CQ_RUDDERSTACK_DATA_PLANE_URL` and `CQ_CLOUD`; its configuration lies in
/// `$XDG_CONFIG_HOME/cloudquery`.
namespace candor::presets {

/// The CLI as a product, in a release or `development`.
[[nodiscard]] inline product cloudquery_product(std::string version) {
    return {.name = "cloudquery", .version = std::move(version), .env_prefix = "CQ"};
}

/// Its options: the caller adds the resolved level and the account source.
[[nodiscard]] inline telemetry_options cloudquery(std::string version) {
    return {.product = cloudquery_product(std::move(version)),
            .write_key = "2h38sP5iH58EYKBTRsGByJDDr6r",
            .data_plane_url = "https://analytics-events.cloudquery.io"};
}

}  // namespace candor::presets

#endif
