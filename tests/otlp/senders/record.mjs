// What each sender reports: the metrics of a few tables in three cycles, among other metrics that no table shows. The
// file `expected` has the rows that come of it.

// Beyond 2 ** 53 only multiples of powers of two are exact in JavaScript, and it writes 17 digits at most: whole
// seconds in nanoseconds are fine.
const second = 10 ** 9;
const start = 1790000000 * second;

// Records through an OpenTelemetry meter provider; `exported` is awaited after each cycle, and `valueType` is the type of
// the tables' numbers.
export async function record(provider, valueType, exported) {
    const meter = provider.getMeter("tables", "1.0.0");
    const whole = (unit) => ({ unit, valueType });
    const resources = meter.createCounter("sync.table.resources", whole("{resource}"));
    const errors = meter.createCounter("sync.table.errors", whole("{error}"));
    const panics = meter.createCounter("sync.table.panics", whole("{panic}"));
    const duration = meter.createCounter("sync.table.duration", whole("ms"));
    const startTime = meter.createCounter("sync.table.start_time", whole("ns"));
    const endTime = meter.createCounter("sync.table.end_time", whole("ns"));
    const table = (name, client) => ({ "sync.table.name": name, "sync.client.id": client });

    // None of these is a number of a table, whatever it is called and to whichever table it belongs.
    const other = provider.getMeter("other");
    const gauge = other.createGauge("sync.table.resources");
    const histogram = other.createHistogram("sync.table.duration", { unit: "ms" });
    const seconds = other.createCounter("process.cpu.time", { unit: "s" });
    const disturb = (name) => {
        gauge.record(12345, table(name, "a"));
        histogram.record(3.5, table(name, "a"));
        histogram.record(70000, table(name, "a"));
        seconds.add(0.1, table(name, "a"));
    };

    const alpha = table("alpha", "a");
    const beta = table("beta", "a");
    const large = table("large", "a");
    const accounts = table("konten_größe 表", "b 🙂");
    startTime.add(start, alpha);
    resources.add(1, alpha);
    resources.add(4000000001 * second, large);
    startTime.add(start + second, beta);
    errors.add(0, beta);
    disturb("alpha");
    disturb("gamma");
    await exported();

    resources.add(99, alpha);
    resources.add(second, large);
    resources.add(7, table("alpha", "b"));
    startTime.add(start + 2 * second, accounts);
    resources.add(1000, accounts);
    errors.add(2, accounts);
    errors.add(1, beta);
    disturb("alpha");
    await exported();

    resources.add(900, alpha);
    duration.add(61234, alpha);
    endTime.add(start + 62 * second, alpha);
    resources.add(4000000000 * second, large);
    panics.add(1, accounts);
    errors.add(1, accounts);
    duration.add(0, accounts);
    endTime.add(start + 2 * second, accounts);
    disturb("beta");
    await exported();
}
