//! One stream: a request becomes a call to the app, and the app's answer a response.

use std::{future::poll_fn, sync::Arc, task::Poll};

use bytes::Bytes;
use h2::{RecvStream, server::SendResponse};
use http::{Method, Request, request::Parts};
use tokio::{sync::Notify, time::Instant};

use super::{
    activity::{Calling, Open},
    head,
    intake::Intake,
    line::Line,
    response::{interim, response},
    sending::Sending,
};
use crate::{
    http::{
        body::request::RequestBody,
        connection::{Connection, FAILED, Running, Stream, TOO_LONG},
        responder::{Answer, AnswerBody},
        slot::{Found, Waiting},
        timer::Timer,
    },
    wire::{Refusal, Trust},
    wsgi::{BodyError, BodyReader},
};

/// A request and its answer.
struct Exchange {
    connection: Arc<Connection>,
    open: Open,
    respond: SendResponse<Bytes>,
    method: Method,
    /// Ends what the app waits for.
    cut: Arc<Notify>,
    /// From the call on, until the answer is out.
    running: Option<Running>,
    line: Line,
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

const TOO_MANY: Refusal = Refusal::new(503, "Too many requests were cancelled");

/// What comes too often.
const CANCELLED: &str = "There was a flood of requests that were cancelled before the app could answer them";

/// Answers one request.
pub async fn serve(
    connection: Arc<Connection>,
    open: Open,
    trust: Trust,
    request: Request<RecvStream>,
    respond: SendResponse<Bytes>,
) {
    let _counted = Stream::new(&connection.streams);
    let (parts, incoming) = request.into_parts();
    let cut = Arc::<Notify>::default();
    let (intake, drain) = Intake::new(incoming, &connection.clients, open.activity(), &cut);
    let method = parts.method.clone();
    let exchange = Exchange { connection, open, respond, method, cut, running: None, line: Line::default() };
    tokio::select! {
        biased;
        () = exchange.run(trust, parts, intake) => {}
        never = drain.run() => match never {},
    }
}

impl Exchange {
    async fn run(mut self, trust: Trust, parts: Parts, intake: Intake) {
        match self.call(trust, parts, intake).await {
            Ok(Some((answer, deadline))) => self.respond(answer, deadline).await,
            // Nobody waits for the answer.
            Ok(None) => {}
            Err(refusal) => {
                self.connection.log(refusal);
                self.respond(Answer::refusal(refusal), None).await;
            }
        }
    }

    /// Has the app called, and waits for its answer. Gives until when it may take.
    async fn call(
        &mut self,
        trust: Trust,
        parts: Parts,
        intake: Intake,
    ) -> Result<Option<(Answer, Option<Instant>)>, Refusal> {
        let connection = Arc::clone(&self.connection);
        let clients = &connection.clients;
        // What follows then is no body (RFC 9113 section 8.5).
        let has_body = !intake.is_over() && self.method != Method::CONNECT;
        let head = Arc::new(head::read(&parts, &clients.rules, trust, connection.https, has_body)?);
        if head.method() != self.method.as_str() {
            // It was in small letters, which may pass. What it is read as is one.
            self.method = Method::from_bytes(head.method().as_bytes()).unwrap_or_default();
        }
        // It is in there now, and the call may last.
        drop(parts);
        self.line.begin(&connection, &head);
        connection.check_length(head.framing)?;
        let mut body = RequestBody::default();
        if has_body {
            body = RequestBody::receive(intake, &connection.app, connection.spool.as_deref()).await?;
        }
        let request = connection.request(head)?;
        // As many as there may be streams, and as many that were cancelled.
        let most = clients.http2.map_or(usize::MAX, |http2| 2 * http2.max_concurrent_streams as usize);
        let activity = self.open.activity();
        let calling = activity.call(most).ok_or_else(|| {
            // Those of a proxy are not all of one client, and the app is perhaps just slow.
            if trust == Trust::Stranger {
                activity.set_flood(CANCELLED);
            }
            TOO_MANY
        })?;
        self.running = Some(Running::new(&connection.work));
        let (waiting, deadline) = connection.call(request, Box::new(Called { body, _calling: calling }));
        let answer = self.wait(&waiting, deadline).await;
        self.line.came(waiting);
        Ok(answer.map(|answer| (answer, deadline)))
    }

    /// Waits for the answer, and sends what precedes it. None where the client does not wait as long.
    async fn wait(&mut self, waiting: &Waiting, deadline: Option<Instant>) -> Option<Answer> {
        let mut timer = Timer::default();
        poll_fn(|context| {
            if self.respond.poll_reset(context).is_ready() {
                return Poll::Ready(None);
            }
            loop {
                match waiting.poll(context) {
                    Poll::Ready(Found::Answer(answer)) => return Poll::Ready(Some(answer)),
                    Poll::Ready(Found::Nothing) => return Poll::Ready(Some(Answer::refusal(FAILED))),
                    // Without them the answer is as good.
                    Poll::Ready(Found::Interim(text)) => interim(&text).into_iter().for_each(|head| {
                        let _ = self.respond.send_informational(head);
                    }),
                    Poll::Pending if timer.is_over(context, deadline) => {
                        self.cut.notify_one();
                        return Poll::Ready(Some(Answer::refusal(TOO_LONG)));
                    }
                    Poll::Pending => return Poll::Pending,
                }
            }
        })
        .await
    }

    async fn respond(mut self, answer: Answer, deadline: Option<Instant>) {
        let Answer { head, body } = answer;
        let has_body = head.has_body() && self.method != Method::HEAD;
        let length = match &body {
            // What follows then is no body, and has no length (RFC 9110 section 9.3.6).
            _ if self.method == Method::CONNECT && head.status.is_success() => None,
            AnswerBody::Whole(whole) if has_body => Some(whole.left()),
            _ => head.content_length,
        };
        let is_empty = !has_body || matches!(&body, AnswerBody::Whole(whole) if whole.left() == 0);
        // It fails where the client has reset the stream meanwhile.
        let Ok(stream) = self.respond.send_response(response(&head, length), is_empty) else { return };
        self.line.answered(&head);
        if !is_empty {
            Sending::new(stream, self.open.activity(), &mut self.line, &self.connection).send(body, deadline).await;
        }
    }
}
