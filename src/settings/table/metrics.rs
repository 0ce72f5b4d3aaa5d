//! What is counted, and who is told.

use crate::settings::setting::{Kind, Setting};

pub const METRICS: &[Setting] = &[
    Setting::new("statsd_host", Kind::Address(8125), "Send metrics to statsd, at HOST:PORT or unix://PATH.")
        .flags(&["--statsd-host"], "ADDRESS"),
    Setting::new("statsd_prefix", Kind::Text, "What the names of metrics begin with.")
        .flags(&["--statsd-prefix"], "PREFIX")
        .default(""),
    Setting::new("dogstatsd_tags", Kind::Text, "Tags for every metric, between commas, as DogStatsD has them.")
        .flags(&["--dogstatsd-tags"], "TAGS")
        .default(""),
    Setting::new(
        "enable_backlog_metric",
        Kind::Flag,
        "Send how many connections wait to be accepted to statsd, every second: gunicorn.backlog. Unix sockets do not \
         tell, and count as none.",
    )
    .flags(&["--enable-backlog-metric"], ""),
];
