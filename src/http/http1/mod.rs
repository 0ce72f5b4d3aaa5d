//! A connection of HTTP/1 (RFC 9112): requests one after the other, each read as strictly as [`wire`](crate::wire) reads,
//! and their answers as the app wrote them.

mod answer;
mod body;
mod feed;
mod outbox;
mod transport;

pub use feed::Feed;
pub use transport::Transport;

use std::{future::poll_fn, sync::Arc};

use self::answer::{Next, answer};
use super::{
    connection::{Connection, Running},
    socket::Socket,
};
use crate::wire::{Refusal, Trust};

/// Answers the requests of a connection, until either side has enough.
pub async fn serve<S: Socket>(connection: &Connection, mut transport: Transport<S>, trust: Trust) {
    let refusal = loop {
        let mut head = match poll_fn(|context| transport.poll_head(context, trust)).await {
            Ok(Some(head)) => head,
            Ok(None) => break None,
            Err(refusal) => break Some(refusal),
        };
        head.came_by(connection.https);
        match answer(connection, &mut transport, Arc::new(head)).await {
            Next::Request => {}
            Next::End => break None,
            Next::Cut => return,
        }
    };
    end(connection, transport, refusal).await;
}

/// Says why nothing more is answered, if there is a reason, and closes the connection.
pub async fn end<S: Socket>(connection: &Connection, transport: Transport<S>, refusal: Option<Refusal>) {
    if let Some(refusal) = refusal {
        connection.log(refusal);
    }
    // What was answered is to arrive, also where the server stops.
    let _running = Running::new(&connection.work);
    transport.close(refusal, connection.stop.clone()).await;
}
