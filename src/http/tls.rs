//! Beginning TLS on a connection.

use std::{
    fs::File,
    future::poll_fn,
    io,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::timeout;
use tokio_rustls::{TlsAcceptor, rustls::ServerConfig, server::TlsStream};

use super::{connection::Connection, parcel::Socket};
use crate::wire::Refusal;

/// Begins TLS. None where the client does not, or its certificate is not good enough.
pub async fn shake_hands<S: Socket>(
    stream: S,
    tls: Arc<ServerConfig>,
    connection: &Connection,
) -> Option<TlsStream<S>> {
    let limit = connection.clients.header_timeout.unwrap_or(Duration::MAX);
    let shaken = timeout(limit, async {
        match poll_fn(|context| stream.poll_peek(context)).await? {
            Some(HANDSHAKE) => TlsAcceptor::from(tls).accept(stream).await.map(Some),
            // What began is perhaps HTTP without TLS, and then the client can read this.
            Some(_) => {
                connection.log(NOT_TLS);
                connection.send_away(stream, NOT_TLS).await;
                Ok(None)
            }
            None => Ok(None),
        }
    });
    match shaken.await {
        Ok(Ok(stream)) => return stream,
        Ok(Err(error)) => tracing::warn!("Invalid request from ip={}: {error} (TLS)", connection.shown_peer()),
        Err(_) => tracing::debug!("A client at ip={} did not begin TLS.", connection.shown_peer()),
    }
    None
}

/// The first byte of TLS: the type of a record with a handshake (RFC 8446 section 5.1).
const HANDSHAKE: u8 = 22;

const NOT_TLS: Refusal = Refusal::new(403, "This port speaks TLS: use https");

impl<S: Socket> Socket for TlsStream<S> {
    const TAKES_FILES: bool = false;

    fn poll_send_file(&self, _: &mut Context<'_>, _: &File, _: u64, _: usize) -> Poll<io::Result<usize>> {
        Poll::Ready(Err(io::ErrorKind::Unsupported.into()))
    }

    fn poll_peek(&self, _: &mut Context<'_>) -> Poll<io::Result<Option<u8>>> {
        Poll::Ready(Err(io::ErrorKind::Unsupported.into()))
    }
}
