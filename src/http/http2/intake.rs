//! The body of a request as it comes, and how it may.

use std::{convert::Infallible, future::pending, sync::Arc};

use bytes::Bytes;
use h2::RecvStream;
use tokio::{
    runtime::Handle,
    sync::{Notify, oneshot},
    time::{Instant, sleep_until, timeout},
};

use super::{activity::Activity, head::is_padded};
use crate::{
    http::{
        body::{
            rate::Rate,
            request::{DRAIN_TIME, TOO_LARGE, TOO_SLOW},
        },
        connection::TOO_LONG,
    },
    settings::Clients,
    wire::{Refusal, Trailers},
};

/// The body of a stream.
pub struct Intake {
    incoming: RecvStream,
    /// How much more of it may come.
    room: Option<u64>,
    rate: Rate,
    trailers: Trailers,
    clients: Arc<Clients>,
    activity: Arc<Activity>,
    /// Told when nobody waits for the app any more, which may wait for this.
    cut: Arc<Notify>,
    /// Who drops the rest of it.
    drain: Option<oneshot::Sender<Intake>>,
    /// Where it comes; an app thread has no timers of its own.
    runtime: Handle,
}

/// Where the body comes to when nobody wants the rest of it.
pub struct Drain(oneshot::Receiver<Intake>);

impl Intake {
    /// As much of it, and as fast, as clients are to send.
    pub fn new(
        incoming: RecvStream,
        clients: &Arc<Clients>,
        activity: &Arc<Activity>,
        cut: &Arc<Notify>,
    ) -> (Self, Drain) {
        let (drain, drained) = oneshot::channel();
        let intake = Self {
            incoming,
            room: clients.limit_request_body,
            rate: Rate::new(clients.body_min_rate),
            trailers: Trailers::default(),
            clients: Arc::clone(clients),
            activity: Arc::clone(activity),
            cut: Arc::clone(cut),
            drain: Some(drain),
            runtime: Handle::current(),
        };
        (intake, Drain(drained))
    }

    /// Whether nothing is to come.
    pub fn is_over(&self) -> bool {
        self.incoming.is_end_stream()
    }

    /// The next piece of data; trailers are not the app's (PEP 3333 has no place for them).
    ///
    /// # Errors
    /// It broke off, or is too large or too slow.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Refusal> {
        loop {
            let limit = self.rate.wait();
            let data = tokio::select! {
                biased;
                data = self.incoming.data() => data,
                () = self.cut.notified() => return Err(TOO_LONG),
                () = until(limit) => return Err(TOO_SLOW),
            };
            let Some(data) = data else { break };
            let data = data.map_err(|error| reason(&error))?;
            // A stream that has ended takes no more.
            let _ = self.incoming.flow_control().release_capacity(data.len());
            if data.is_empty() {
                continue;
            }
            self.activity.touch();
            self.rate.came(data.len());
            if let Some(room) = &mut self.room {
                *room = room.checked_sub(data.len() as u64).ok_or(TOO_LARGE)?;
            }
            return Ok(Some(data));
        }
        // Where there are any they are here already: nothing else ends the data but its end.
        let trailers = self.incoming.trailers().await.map_err(|error| reason(&error))?;
        for (name, value) in trailers.iter().flatten() {
            if is_padded(value.as_bytes()) {
                return Err(Refusal::bad("Invalid value of a trailer field: it begins or ends with white space"));
            }
            self.trailers.take(name.as_str().as_bytes(), value.as_bytes(), &self.clients.rules)?;
        }
        Ok(None)
    }

    /// The next piece, on a thread that may wait for it.
    ///
    /// # Errors
    /// It broke off, or is too large or too slow.
    pub fn wait(&mut self) -> Result<Option<Bytes>, Refusal> {
        let runtime = self.runtime.clone();
        let _inside = runtime.enter();
        futures_executor::block_on(self.next())
    }

    /// Nobody wants the rest.
    pub fn let_go(mut self) {
        if let Some(drain) = self.drain.take() {
            // Where the answer has been sent it ends here, and its stream with it.
            let _ = drain.send(self);
        }
    }
}

impl Drain {
    /// Reads and drops what comes here, until this is dropped: a stream whose answer is complete is reset then, which tells
    /// its client to stop (RFC 9113 section 8.1).
    pub async fn run(self) -> Infallible {
        if let Ok(mut intake) = self.0.await {
            let rest = async { while let Ok(Some(_)) = intake.next().await {} };
            let _ = timeout(DRAIN_TIME, rest).await;
        }
        pending().await
    }
}

async fn until(limit: Option<Instant>) {
    match limit {
        Some(limit) => sleep_until(limit).await,
        None => pending().await,
    }
}

/// Why a body broke off.
fn reason(error: &h2::Error) -> Refusal {
    tracing::debug!("A body broke off: {error}.");
    Refusal::bad("The body ended early")
}
