// Records with the OpenTelemetry SDK and sends over OTLP/HTTP as OTEL_EXPORTER_OTLP_* says: the endpoint, the
// compression and the temporality. usage: node sdk.mjs proto|json
import process from "node:process";
import { DiagLogLevel, ValueType, diag } from "@opentelemetry/api";
import { OTLPMetricExporter as JsonExporter } from "@opentelemetry/exporter-metrics-otlp-http";
import { OTLPMetricExporter as ProtoExporter } from "@opentelemetry/exporter-metrics-otlp-proto";
import { resourceFromAttributes } from "@opentelemetry/resources";
import { MeterProvider, PeriodicExportingMetricReader } from "@opentelemetry/sdk-metrics";
import { record } from "./record.mjs";

// The SDK says what goes wrong, a rejected point too, to its log alone.
const complain = (...words) => {
    console.error(...words);
    process.exitCode = 1;
};
const silent = () => {};
diag.setLogger({ error: complain, warn: complain, info: silent, debug: silent, verbose: silent }, DiagLogLevel.WARN);

const exporters = { proto: ProtoExporter, json: JsonExporter };
const provider = new MeterProvider({
    resource: resourceFromAttributes({ "service.name": "sender" }),
    readers: [
        new PeriodicExportingMetricReader({
            exporter: new exporters[process.argv[2]](),
            exportIntervalMillis: 3600 * 1000, // only when told to
        }),
    ],
});
await record(provider, ValueType.INT, () => provider.forceFlush());
await provider.shutdown();
