//! Whether there was much of something, and most of it is gone: then memory is free that the system has not back yet.

/// The most that there was, as far as it was told.
#[derive(Debug, Default)]
pub struct HighWater {
    most: u64,
    last: u64,
}

impl HighWater {
    /// There is so much now.
    pub fn rise(&mut self, now: u64) {
        self.most = self.most.max(now);
    }

    /// Whether there were `much` and more, and at this look and the one before there is no more than a tenth of it. Says so
    /// once.
    pub fn has_fallen(&mut self, now: u64, much: u64) -> bool {
        self.rise(now);
        let last = std::mem::replace(&mut self.last, now);
        let fallen = self.most >= much && now.max(last) <= self.most / 10;
        if fallen {
            self.most = now;
        }
        fallen
    }
}

#[cfg(test)]
mod tests {
    use super::HighWater;

    #[test]
    fn a_fall_is_told_once_when_it_lasts() {
        let mut high = HighWater::default();
        assert!(!high.has_fallen(99, 100) && !high.has_fallen(0, 100) && !high.has_fallen(0, 100), "that was not much");
        assert!(!high.has_fallen(1000, 100) && !high.has_fallen(101, 100), "there is too much yet");
        assert!(!high.has_fallen(100, 100) && high.has_fallen(100, 100) && !high.has_fallen(0, 100));
        high.rise(200);
        assert!(high.has_fallen(0, 100), "it rose and fell between two looks");
    }
}
