//! What fields may say, and whom they are believed: gunicorn's rules for names with underscores, for schemes, and for
//! fields that must not be repeated.

use super::{Field, Fields, Refusal, Version, target::is_host_field};
use crate::settings::{HeaderMap, RequestRules};

/// Whether the peer is a proxy that may say where a request came from (`forwarded_allow_ips`).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Trust {
    /// It may be anyone.
    Stranger,
    /// It is one of ours.
    Proxy,
}

/// What the fields said of the request.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Policy {
    /// What a proxy says of the connection to it.
    pub https: Option<bool>,
    pub expects_continue: bool,
}

/// Drops the fields that must not reach the app.
///
/// # Errors
/// Fields that contradict each other, or that are refused by name.
pub fn apply(fields: &mut Fields, version: Version, rules: &RequestRules, trust: Trust) -> Result<Policy, Refusal> {
    let mut policy = Policy::default();
    let (mut host, mut content_type) = (false, false);
    let mut scheme = None;
    let mut underscores = false;
    for field in fields.iter() {
        underscores |= field.name.contains(&b'_');
        // The lengths are told apart before the letters are: this runs for every field of every request.
        match field.name.len() {
            4 if field.is("host") => {
                if std::mem::replace(&mut host, true) {
                    return Err(Refusal::bad("Host is given twice"));
                }
                if !is_host_field(field.value) {
                    return Err(Refusal::bad("Host has what is no host"));
                }
            }
            12 if field.is("content-type") && std::mem::replace(&mut content_type, true) => {
                return Err(Refusal::bad("Content-Type is given twice"));
            }
            6 if field.is("expect") => {
                if !field.value.eq_ignore_ascii_case(b"100-continue") {
                    return Err(Refusal::new(417, "Expect has what is not known"));
                }
                // RFC 9110 section 10.1.1: a client of HTTP/1.0 would take the 100 for the answer.
                policy.expects_continue |= version >= Version::HTTP_11;
            }
            _ => {}
        }
        if trust == Trust::Proxy
            && let Some((_, secure)) = rules.secure_scheme_headers.iter().find(|(name, _)| field.is(name))
        {
            let https = field.value == secure.as_bytes();
            if scheme.is_some_and(|before| before != https) {
                return Err(Refusal::bad("Contradictory scheme headers"));
            }
            scheme = Some(https);
        }
    }
    policy.https = scheme;
    if underscores && rules.header_map != HeaderMap::Dangerous {
        // `X_Forwarded_For` and `X-Forwarded-For` would be one key of the environ.
        let allowed = |field: &Field<'_>| {
            let named = |name: &String| name == "*" || field.is(name);
            !field.name.contains(&b'_') || (trust == Trust::Proxy && rules.forwarder_headers.iter().any(named))
        };
        if rules.header_map == HeaderMap::Refuse && !fields.iter().all(|field| allowed(&field)) {
            return Err(Refusal::bad("Invalid header name: it has an underscore"));
        }
        fields.retain(|field| allowed(&field));
    }
    Ok(policy)
}
