//! The system's clocks, where the standard library does not say what they show.

use std::{mem, time::Duration};

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

/// A time as clocks on the wall show it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct LocalTime {
    /// Of the common era.
    pub year: i32,
    /// January is 0.
    pub month: usize,
    /// Of the month, from 1.
    pub day: i32,
    /// From 0 to 23.
    pub hour: i32,
    /// From 0 to 59.
    pub minute: i32,
    /// From 0 to 60.
    pub second: i32,
    /// How many minutes it is ahead of UTC.
    pub ahead: i64,
}

/// The local time that many seconds after 1970, by `TZ` or else /etc/localtime, as Python's `time.localtime` has it: also
/// after a `time.tzset`.
pub fn local_time(seconds: i64) -> LocalTime {
    // SAFETY: all zeros are a value of this plain struct.
    let mut time: libc::tm = unsafe { mem::zeroed() };
    // SAFETY: both point to what is this function's own. A year that does not fit leaves what is there.
    unsafe { libc::localtime_r(&raw const seconds, &raw mut time) };
    LocalTime {
        year: time.tm_year + 1900,
        month: usize::try_from(time.tm_mon).unwrap_or_default(),
        day: time.tm_mday,
        hour: time.tm_hour,
        minute: time.tm_min,
        second: time.tm_sec,
        ahead: time.tm_gmtoff / 60,
    }
}

#[cfg(test)]
mod tests {
    use super::local_time;

    #[test]
    fn the_local_time_is_ahead_of_utc_by_what_it_says() {
        for seconds in [0, 1_795_473_083, 1_751_328_000, -86_400] {
            let time = local_time(seconds);
            let of_day = |minutes: i64| minutes.rem_euclid(24 * 60);
            let minutes = i64::from(time.hour * 60 + time.minute);
            assert_eq!(of_day(seconds.div_euclid(60) + time.ahead), minutes, "{time:?}");
            assert_eq!(seconds.rem_euclid(60), i64::from(time.second));
        }
    }
}
