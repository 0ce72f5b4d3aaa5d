//! The system's clocks, where the standard library does not say what they show.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// What `CLOCK_MONOTONIC_COARSE` shows: a few milliseconds late at most, and cheaper than the time itself.
pub fn coarse_clock() -> Duration {
    clock_gettime(ClockId::CLOCK_MONOTONIC_COARSE).map_or(Duration::ZERO, Duration::from)
}

/// The time of day, a few milliseconds late at most, since 1970.
pub fn coarse_time() -> Duration {
    clock_gettime(ClockId::CLOCK_REALTIME_COARSE).map_or(Duration::ZERO, Duration::from)
}

/// What `CLOCK_MONOTONIC` shows, which other programs on this machine see as well.
pub fn monotonic_clock() -> Duration {
    // Every kernel has this clock.
    clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(Duration::ZERO, Duration::from)
}
