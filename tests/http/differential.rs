//! The same bytes to rwsgi and to the real gunicorn: the same answers, and the same calls, but for what is explained.

use std::collections::BTreeMap;

use regex::Regex;
use serde_json::Value;

use super::{
    Outcome, Witness, corpus,
    mutations::mutations,
    smuggling::{attempts, shown},
};
use crate::support::client::Pieces;

/// So many requests with mistakes are tried; `RWSGI_MUTATIONS` may name another number, and a seed behind a colon.
const MUTATIONS: usize = 300;

/// Bytes that the two have read differently.
struct Difference {
    bytes: Vec<u8>,
    ours: Outcome,
    theirs: Outcome,
}

/// A kind of difference.
struct Explanation {
    why: &'static str,
    holds: fn(&Difference) -> bool,
}

const EXPLANATIONS: &[Explanation] = &[
    Explanation {
        why: "a body that is malformed at its beginning is refused before the app is called, which gunicorn calls first",
        holds: |it| {
            it.refused_last() && it.theirs.statuses == it.ours.statuses && it.theirs.calls.last().is_some_and(is_unread)
        },
    },
    Explanation {
        why: "a body in chunks that ends early is answered with 400, for which gunicorn closes the connection",
        holds: |it| it.refused_last() && it.one_answer_less() && it.theirs.calls.last().is_some_and(is_unread),
    },
    Explanation {
        why: "a body that ends before its length is refused (RFC 9112 section 8), which gunicorn hands to the app as whole",
        holds: |it| {
            let short = |call: &Value| {
                text(call, "CONTENT_LENGTH").parse().is_ok_and(|length: u128| {
                    text(call, "body").chars().count() < usize::try_from(length).unwrap_or(usize::MAX)
                })
            };
            it.refused_last() && it.theirs.calls.last().is_some_and(short)
        },
    },
    Explanation {
        why: "an authority has no path (RFC 9112 section 3.2.3), which gunicorn takes a part of it for",
        holds: |it| {
            it.without(&["PATH_INFO"]) && it.ours.calls.iter().all(|call| text(call, "REQUEST_METHOD") == "CONNECT")
        },
    },
    Explanation {
        why: "CONNECT needs a host and a valid port, and nothing else (RFC 9110 section 9.3.6), which gunicorn does not look at",
        holds: |it| it.refused_target("CONNECT ", ""),
    },
    Explanation {
        why: "an absolute target needs a host that is one (RFC 9110 section 4.2.1, RFC 3986 section 3.2), and gunicorn takes any",
        holds: |it| it.refused_target("", "://"),
    },
    Explanation {
        why: "Host has a host and perhaps a port (RFC 9112 section 3.2), and by gunicorn anything",
        holds: |it| {
            let host = Regex::new(r"^$|^([\w.~!$&'()*+,;=%-]+|\[[[:xdigit:]:.]+\])(:\d{0,5})?$").expect("a pattern");
            let call = it.theirs.calls.get(it.ours.calls.len());
            it.refused_last() && call.is_some_and(|call| !host.is_match(text(call, "HTTP_HOST")))
        },
    },
    Explanation {
        why: "an absolute target without a path means / (RFC 9110 section 4.2.3), which gunicorn leaves to the app",
        holds: |it| {
            let path = |wanted: &'static str| move |call: &&Value| text(call, "PATH_INFO") == wanted;
            it.without(&["PATH_INFO"])
                && it.ours.calls.iter().filter(path("/")).count() > it.theirs.calls.iter().filter(path("/")).count()
                && it.theirs.calls.iter().any(|call| path("")(&call))
        },
    },
    Explanation {
        why: "close and keep-alive stand in a list of options (RFC 9110 section 7.6.1), and gunicorn wants them alone",
        holds: |it| {
            let listed = |call: &Value| {
                let options = text(call, "HTTP_CONNECTION").to_ascii_lowercase();
                let is_known = |option: &str| ["close", "keep-alive"].contains(&option.trim());
                options.contains(',') && options.split(',').any(is_known)
            };
            let (fewer, more) = if it.ours.calls.len() < it.theirs.calls.len() {
                (&it.ours.calls, &it.theirs.calls)
            } else {
                (&it.theirs.calls, &it.ours.calls)
            };
            more.starts_with(fewer) && fewer.last().is_some_and(listed)
        },
    },
    Explanation {
        why: "the host of an absolute target takes the place of Host (RFC 9112 section 3.2.2), which gunicorn leaves as it is",
        holds: |it| {
            it.without(&["HTTP_HOST"]) && it.ours.calls.iter().any(|call| text(call, "RAW_URI").contains("://"))
        },
    },
    Explanation {
        why: "a head that never ends is not answered, and by gunicorn as soon as one of its lines is wrong",
        holds: |it| {
            let before = it.theirs.statuses.strip_suffix(&[400]);
            let rest = it.bytes.windows(4).rposition(|four| four == b"\r\n\r\n").map_or(0, |end| end + 4);
            it.ours.calls == it.theirs.calls && before == Some(it.ours.statuses.as_slice()) && rest < it.bytes.len()
        },
    },
    Explanation {
        why: "what cannot begin a head is refused by its first byte, where gunicorn waits for the line, or the end",
        holds: |it| {
            it.ours.calls == it.theirs.calls && it.ours.statuses.strip_suffix(&[400]) == Some(&it.theirs.statuses)
        },
    },
    Explanation {
        why: "cookies of several fields are joined by a semicolon (RFC 9113 section 8.2.3), and by gunicorn with a comma",
        holds: |it| it.without(&["HTTP_COOKIE"]),
    },
    Explanation {
        why: "what a proxy says by the PROXY protocol holds for all of the connection, and for gunicorn for its first request",
        holds: |it| {
            let is_proxied = |call: &Value| call.get("PROXY_PROTOCOL").is_some();
            it.ours.statuses == it.theirs.statuses
                && it.ours.calls.iter().all(is_proxied)
                && !it.theirs.calls.iter().skip(1).any(is_proxied)
        },
    },
    Explanation {
        why: "of two mistakes, that which makes the head unreadable is told, and by gunicorn the first",
        holds: |it| {
            it.ours.calls == it.theirs.calls
                && it.ours.statuses.last() == Some(&400)
                && it.theirs.statuses.last() == Some(&417)
        },
    },
];

impl Difference {
    /// Whether the last request was refused here.
    fn refused_last(&self) -> bool {
        self.ours.statuses.last().is_some_and(|status| *status >= 400)
            && self.ours.calls.len() + 1 == self.ours.statuses.len()
    }

    fn one_answer_less(&self) -> bool {
        self.ours.statuses.split_last().is_some_and(|(_, before)| before == self.theirs.statuses)
    }

    /// Whether there is no difference but in these keys.
    fn without(&self, keys: &[&str]) -> bool {
        let cut = |outcome: &Outcome| {
            let mut outcome = outcome.clone();
            for call in &mut outcome.calls {
                call.as_object_mut().expect("an environ").retain(|key, _| !keys.contains(&key.as_str()));
            }
            outcome
        };
        cut(&self.ours) == cut(&self.theirs)
    }

    /// What is left of it where the host of an absolute target is not looked at.
    fn without_hosts_of_targets(&self) -> Self {
        let cut = |outcome: &Outcome| {
            let mut outcome = outcome.clone();
            for call in outcome.calls.iter_mut().filter(|call| text(call, "RAW_URI").contains("://")) {
                call.as_object_mut().expect("an environ").remove("HTTP_HOST");
            }
            outcome
        };
        Self { bytes: self.bytes.clone(), ours: cut(&self.ours), theirs: cut(&self.theirs) }
    }

    /// Whether a request was refused here whose line begins with this and whose target has that, and which the other has
    /// let in.
    fn refused_target(&self, start: &str, part: &str) -> bool {
        let Some(call) = self.theirs.calls.get(self.ours.calls.len()) else { return false };
        let (method, target) = (text(call, "REQUEST_METHOD"), text(call, "RAW_URI"));
        self.refused_last() && format!("{method} {target}").starts_with(start) && target.contains(part)
    }
}

fn text<'a>(call: &'a Value, key: &str) -> &'a str {
    call[key].as_str().unwrap_or_default()
}

/// Whether the app could not read the body to its end.
fn is_unread(call: &Value) -> bool {
    call.get("body").is_none()
}

/// How many mutations are tried, and their seed.
fn mutations_wanted() -> (usize, u64) {
    let wanted = std::env::var("RWSGI_MUTATIONS").unwrap_or_default();
    let (count, seed) = wanted.split_once(':').unwrap_or((&wanted, "1"));
    (count.parse().unwrap_or(MUTATIONS), seed.parse().unwrap_or(1))
}

/// Shows bytes to both. Gives why they differ, if they do.
fn compare(bytes: Vec<u8>, ours: &Witness, theirs: &Witness) -> Option<Result<&'static str, String>> {
    let difference =
        Difference { ours: ours.show(&bytes, Pieces::Whole), theirs: theirs.show(&bytes, Pieces::Whole), bytes };
    if difference.ours == difference.theirs {
        return None;
    }
    let explain = |it: &Difference| EXPLANATIONS.iter().find(|explanation| (explanation.holds)(it));
    // One of the reasons may stand beside any other.
    let explanation = explain(&difference).or_else(|| explain(&difference.without_hosts_of_targets()));
    Some(explanation.map(|explanation| explanation.why).ok_or_else(|| {
        let text = |outcome: &Outcome| {
            format!("{:?} {:?}", outcome.statuses, outcome.calls.iter().map(shown).collect::<Vec<_>>())
        };
        let Difference { bytes, ours, theirs } = &difference;
        format!("{:?}\n  ours: {}\n  theirs: {}", String::from_utf8_lossy(bytes), text(ours), text(theirs))
    }))
}

#[test]
fn the_real_gunicorn_reads_the_same_bytes_in_the_same_way() {
    let (mut count, mut same) = (0, 0);
    let (mut explained, mut faults) = (BTreeMap::<_, usize>::new(), Vec::new());
    for (options, cases) in corpus::cases() {
        let words = || options.iter().map(String::as_str);
        let (ours, theirs) = (Witness::rwsgi(words()), Witness::gunicorn(words()));
        let mut inputs: Vec<_> = cases.iter().map(corpus::Case::bytes).collect();
        if options.is_empty() {
            inputs.extend(attempts().into_iter().map(|(bytes, _)| bytes));
            let (count, seed) = mutations_wanted();
            inputs.extend(mutations(seed, count));
        }
        for bytes in inputs {
            count += 1;
            match compare(bytes, &ours, &theirs) {
                None => same += 1,
                Some(Ok(why)) => *explained.entry(why).or_default() += 1,
                Some(Err(fault)) => faults.push(fault),
            }
        }
        for mut witness in [ours, theirs] {
            witness.server.stop();
        }
    }
    eprintln!("{count} inputs: {same} read alike, explained: {explained:#?}");
    assert!(faults.is_empty(), "{} differ without a reason:\n{}", faults.len(), faults.join("\n"));
}
