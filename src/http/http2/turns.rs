//! Whose turn it is: the answers of a connection share its window and its socket, so one that waits may only have to wait
//! for the others, and its client is at no fault then. h2 gives in the order that was asked in.

use std::time::Duration;

use tokio::time::Instant;

/// The waits of a connection's answers, which are numbered as they begin.
pub struct Turns {
    next: u64,
    /// Whoever began to wait before this one has been passed by: another began later, and waited twice to the end.
    passed: u64,
    /// When the last wait ended well.
    given: Instant,
}

/// An answer that waits for its client to take something.
#[derive(Clone, Copy)]
pub struct Wait {
    number: u64,
    since: Instant,
}

impl Wait {
    pub fn since(&self) -> Instant {
        self.since
    }
}

impl Default for Turns {
    fn default() -> Self {
        Self { next: 1, passed: 0, given: Instant::now() }
    }
}

impl Turns {
    /// An answer begins to wait.
    pub fn begin(&mut self) -> Wait {
        self.next += 1;
        Wait { number: self.next, since: Instant::now() }
    }

    /// The client has taken something, after this wait and one `before` it.
    pub fn end(&mut self, before: Option<Wait>) {
        self.given = Instant::now();
        self.passed = self.passed.max(before.map_or(0, |wait| wait.number));
    }

    /// Whether it is for its own client that an answer has waited for this long: others have had their turns twice
    /// meanwhile, or nobody has one. Where they all wait for the socket that is for others to see to.
    pub fn is_stalled(&self, wait: &Wait, limit: Duration, jammed: bool) -> bool {
        let is_stuck = !jammed && self.given.elapsed() >= limit;
        wait.since.elapsed() >= limit && (wait.number < self.passed || is_stuck)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_mins(1);

    #[test]
    fn who_waits_for_its_turn_is_not_stalled_and_who_is_passed_by_is() {
        let mut turns = Turns::default();
        let begun = Instant::now().checked_sub(LONG).expect("a time");
        let waits = |turns: &mut Turns| Wait { since: begun, ..turns.begin() };
        let (early, first) = (waits(&mut turns), waits(&mut turns));
        turns.given = begun;
        assert!(turns.is_stalled(&first, LONG, false) && !turns.is_stalled(&first, LONG, true), "nobody has a turn");
        turns.end(None);
        assert!(!turns.is_stalled(&first, LONG, false));
        // One that began earlier has its turn, and then its next.
        let later = turns.begin();
        turns.end(Some(early));
        assert!(!turns.is_stalled(&first, LONG, false));
        turns.end(Some(later));
        assert!(turns.is_stalled(&first, LONG, false) && turns.is_stalled(&first, LONG, true));
        let fresh = turns.begin();
        turns.end(Some(fresh));
        let next = turns.begin();
        turns.end(Some(next));
        assert!(turns.passed > fresh.number && !turns.is_stalled(&fresh, LONG, false), "it has not waited for long");
    }
}
