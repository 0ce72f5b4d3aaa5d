//! The system's clocks, where the standard library does not say what they show.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// What `CLOCK_MONOTONIC` shows, which other programs on this machine see as well.
pub fn monotonic_clock() -> Duration {
    // Every kernel has this clock.
    clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(Duration::ZERO, Duration::from)
}
