// Records with what Deno has built in, which exports with the OTLP exporter of OpenTelemetry's Rust libraries, as
// OTEL_EXPORTER_OTLP_* says; OTEL_METRIC_EXPORT_INTERVAL is short. usage: OTEL_DENO=true deno run deno.mjs
import { ValueType, metrics } from "@opentelemetry/api";
import { record } from "./record.mjs";

// It cannot be told to export, but it asks for the value of this gauge whenever it does.
let asked = () => {};
const gauge = metrics.getMeter("cycle").createObservableGauge("cycle");
gauge.addCallback(() => asked());
const awake = setInterval(() => {}, 3600 * 1000);
await record(metrics, ValueType.DOUBLE, () => new Promise((resolve) => (asked = resolve)));
clearInterval(awake);
