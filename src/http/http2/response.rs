//! The heads of answers, as h2 takes them.

use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};

use crate::{wire, wsgi};

/// The head of an answer, with the length of its body where there is one.
pub fn response(head: &wsgi::Head, length: Option<u64>) -> Response<()> {
    let mut response = Response::new(());
    *response.status_mut() = head.status;
    let fields = response.headers_mut();
    fields.insert(header::SERVER, HeaderValue::from_static("rwsgi"));
    let mut date = Vec::new();
    wire::write_date(&mut date);
    put(fields, b"date", &date);
    if let Some(length) = length {
        fields.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    }
    for field in head.fields.iter() {
        put(fields, field.name, field.value);
    }
    response
}

/// The heads that precede an answer's, from what HTTP/1.1 would send.
pub fn interim(text: &[u8]) -> Vec<Response<()>> {
    let mut heads = Vec::new();
    for line in text.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii_end) {
        if let Some(status) = line.strip_prefix(b"HTTP/1.1 ") {
            let mut head = Response::new(());
            *head.status_mut() = status.get(..3).and_then(|code| StatusCode::from_bytes(code).ok()).unwrap_or_default();
            heads.push(head);
        } else if let (Some(at), Some(head)) = (line.iter().position(|byte| *byte == b':'), heads.last_mut()) {
            put(head.headers_mut(), &line[..at], line[at + 1..].trim_ascii_start());
        }
    }
    heads
}

fn put(fields: &mut HeaderMap, name: &[u8], value: &[u8]) {
    // Both were found to be what these take.
    if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value)) {
        fields.append(name, value);
    }
}

#[cfg(test)]
mod tests {
    use super::interim;

    #[test]
    fn heads_that_precede_an_answers_are_told_apart() {
        let text = b"HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\nlink: </b:c>\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\n";
        let heads = interim(text);
        let links: Vec<_> =
            heads.iter().map(|head| head.headers().get_all("link").iter().collect::<Vec<_>>()).collect();
        assert_eq!(links, [vec!["</a>; rel=preload", "</b:c>"], vec![]]);
        assert!(heads.iter().all(|head| head.status() == 103));
    }
}
