#ifndef CANDOR_TESTS_BENCHMARKS_TEN_FIELDS_HPP
#define CANDOR_TESTS_BENCHMARKS_TEN_FIELDS_HPP

#include <candor/event/fields.hpp>

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

namespace candor::benchmarks {

/// The event that everything is measured with: ten fields, about 500 bytes of JSON, about 850 with all that a message
/// has besides.
struct ten_fields {
    static constexpr std::string_view event_name = "transfer_finished";

    std::uint64_t serial = 0;  ///< the sink checks that each number arrives once
    std::string pipeline = "nightly-warehouse-transfer";
    std::string source = "postgresql, read replica in eu-central-1, logical decoding";
    std::string destination = "object storage, columnar files, partitioned by day and by region";
    std::string release = "7.13.1-rc.2+build.5417";
    std::chrono::milliseconds duration{184'211};
    std::int64_t bytes_read = 91'224'310'784;
    double error_rate = 0.0173;
    bool incremental = true;
    std::vector<std::string> tables = {"customers", "orders", "order_lines", "shipments", "invoices", "payments"};

    static constexpr auto fields() {
        return std::tuple{
            field("serial", &ten_fields::serial, "Number of this event"),
            field("pipeline", &ten_fields::pipeline, "Name of the pipeline"),
            field("source", &ten_fields::source, "What was read"),
            field("destination", &ten_fields::destination, "What was written"),
            field("release", &ten_fields::release, "Version of the pipeline"),
            field("duration", &ten_fields::duration, "Wall time"),
            field("bytes_read", &ten_fields::bytes_read, "Bytes read from the source"),
            field("error_rate", &ten_fields::error_rate, "Share of the rows that failed"),
            field("incremental", &ten_fields::incremental, "Whether only changes were read"),
            field("tables", &ten_fields::tables, "Names of the tables"),
        };
    }
};

}  // namespace candor::benchmarks

#endif
