//! One stream: a request becomes a call to the app, and the app's answer a response.

use std::{
    convert::Infallible,
    future::poll_fn,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use hyper::{
    Request, Response,
    body::{Body, Frame, Incoming, SizeHint},
    header::{self, HeaderName, HeaderValue},
};
use tokio::time::{Instant, timeout_at};

use super::{
    STREAM, head,
    pulse::{Calling, Open, Pulse},
    response_body::{BrokenOff, Kind, ResponseBody},
};
use crate::{
    http::{
        connection::{Connection, OUTSIDE, Running},
        log_entry::OwnEntry,
        request_body::{Intake, RequestBody, TOO_LARGE},
        responder::{Answer, AnswerBody, ChannelResponder},
        slot::{Found, Slot, Waiting},
    },
    wire::{Framing, Refusal, Trust},
    wsgi::{self, BodyError, BodyReader, Call},
};

/// What is known of a stream until its answer begins.
struct Stream {
    running: Option<Running>,
    open: Open,
    log: Unanswered,
    to_head: bool,
}

/// The line in the access log of a request that has no answer yet. It is written if the client does not wait for one.
struct Unanswered(Option<Box<OwnEntry>>);

impl Drop for Unanswered {
    fn drop(&mut self) {
        if let Some(mut log) = self.0.take() {
            log.cancelled();
        }
    }
}

/// A body that belongs to a call.
struct Called {
    body: RequestBody,
    _calling: Calling,
}

impl BodyReader for Called {
    fn next(&mut self) -> Result<Option<Bytes>, BodyError> {
        self.body.next()
    }

    fn is_ready(&self) -> bool {
        self.body.is_ready()
    }
}

/// The stream is about to be reset, with its connection.
const TOO_MANY: Refusal = Refusal::new(503, "Too many requests were cancelled");

/// Answers one request.
pub async fn answer(
    connection: Arc<Connection>,
    pulse: Arc<Pulse>,
    trust: Trust,
    request: Request<Incoming>,
) -> Result<Response<StreamBody>, Infallible> {
    let (parts, incoming) = request.into_parts();
    let mut stream = Stream {
        running: None,
        open: Open::new(pulse, STREAM.get()),
        log: Unanswered(None),
        to_head: parts.method == hyper::Method::HEAD,
    };
    Ok(match call(&connection, &mut stream, trust, &parts, incoming).await {
        Ok((answer, deadline)) => stream.respond(answer, deadline),
        Err(refusal) => {
            connection.log(refusal);
            stream.respond(Answer::refusal(refusal), None)
        }
    })
}

async fn call(
    connection: &Connection,
    stream: &mut Stream,
    trust: Trust,
    parts: &http::request::Parts,
    incoming: Incoming,
) -> Result<(Answer, Option<Instant>), Refusal> {
    let clients = &connection.clients;
    let head = head::read(parts, &clients.rules, trust, connection.https, !incoming.is_end_stream())?;
    let head = Arc::new(head);
    let own = |log| Box::new(OwnEntry::new(log, connection.remote_addr.clone(), &head));
    stream.log.0 = connection.access_log.as_ref().map(own);
    let limit = clients.limit_request_body;
    if matches!((head.framing, limit), (Framing::Length(length), Some(limit)) if length > limit) {
        return Err(TOO_LARGE);
    }
    let intake = Intake::new(incoming, clients);
    let body = RequestBody::receive(intake, &connection.app, connection.spool.as_deref()).await?;
    let request = wsgi::Request {
        head,
        peer: connection.peer,
        proxied: connection.proxied.clone(),
        origin: Arc::clone(&connection.origin),
        is_watched: connection.is_watched(),
    };
    if wsgi::mount(&request).is_none() {
        return Err(OUTSIDE);
    }
    // As many as there may be streams, and as many that were cancelled.
    let most = clients.http2.map_or(usize::MAX, |http2| 2 * http2.max_concurrent_streams as usize);
    let calling = stream.open.pulse().call(most).ok_or(TOO_MANY)?;
    stream.running = Some(Running::new(&connection.work));
    let (slot, waiting) = Slot::new();
    let responder = Box::new(ChannelResponder::new(slot, Arc::clone(&connection.app), connection.spool.clone()));
    connection.app.call(Call { request, body: Box::new(Called { body, _calling: calling }), responder });
    let deadline = clients.request_timeout.map(|limit| Instant::now() + limit);
    let answer = match deadline {
        Some(deadline) => timeout_at(deadline, answer_of(&waiting)).await,
        None => Ok(answer_of(&waiting).await),
    };
    Ok(match answer {
        Ok(Some(answer)) => {
            if let Some(log) = &mut stream.log.0 {
                log.came(waiting);
            }
            (answer, deadline)
        }
        Ok(None) => (Answer::refusal(Refusal::new(500, "")), None),
        Err(_) => (Answer::refusal(Refusal::new(503, "The app has taken too long")), None),
    })
}

/// The answer; none where the call ended without.
async fn answer_of(waiting: &Waiting) -> Option<Answer> {
    loop {
        match poll_fn(|context| waiting.poll(context)).await {
            Found::Answer(answer) => return Some(answer),
            Found::Nothing => return None,
            // hyper has no way to send it.
            Found::Interim(_) => {}
        }
    }
}

impl Stream {
    fn respond(mut self, answer: Answer, deadline: Option<Instant>) -> Response<StreamBody> {
        let Answer { head, body } = answer;
        let has_body = head.has_body() && !self.to_head;
        let length = match &body {
            AnswerBody::Whole(parcel) if has_body => Some(parcel.left()),
            _ => head.content_length,
        };
        let kind = match body {
            _ if !has_body => Kind::Absent,
            AnswerBody::Whole(parcel) => Kind::Whole(parcel),
            AnswerBody::Pieces(pieces) => Kind::Pieces(pieces, deadline),
        };
        let mut log = self.log.0.take();
        if let Some(log) = &mut log {
            log.answered(&head);
        }
        let mut response =
            Response::new(StreamBody { body: ResponseBody::new(kind, log, self.running), open: self.open });
        *response.status_mut() = head.status;
        let fields = response.headers_mut();
        fields.insert(header::SERVER, HeaderValue::from_static("rwsgi"));
        if let Some(length) = length {
            fields.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
        }
        for field in head.fields.iter() {
            // Both were found to be what these take.
            if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(field.name), HeaderValue::from_bytes(field.value)) {
                fields.append(name, value);
            }
        }
        response
    }
}

/// The body of a response, and its stream for as long as it is on its way.
pub struct StreamBody {
    body: ResponseBody,
    open: Open,
}

impl Body for StreamBody {
    type Data = Bytes;
    type Error = BrokenOff;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        // hyper asks again when the client has taken what it was given.
        self.open.set_blocked(polled.is_ready());
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
