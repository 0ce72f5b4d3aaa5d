//! Beginning TLS on a connection.

use std::{
    fs::File,
    future::poll_fn,
    io::{self, IoSlice},
    os::fd::{AsRawFd, RawFd},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf},
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, rustls::ServerConfig, server::TlsStream};

use super::{connection::Connection, socket::Socket};
use crate::{
    settings::ProxyProtocol,
    wire::{HEALTHCHECK, ProxyHeader, Refusal, TLS_WANTED},
};

/// Begins TLS. None where the client does not, or its certificate is not good enough.
pub async fn shake_hands<S: Socket>(
    mut stream: S,
    tls: Arc<ServerConfig>,
    connection: &mut Connection,
) -> Option<TlsStream<Counted<S>>> {
    let limit = connection.clients.header_timeout.unwrap_or(Duration::MAX);
    let shaken = timeout(limit, async {
        if let Err(refusal) = take_in_proxy(&mut stream, connection).await? {
            connection.log(refusal);
            connection.send_away(stream, refusal).await;
            return Ok(None);
        }
        match poll_fn(|context| stream.poll_peek(context)).await? {
            Some(HANDSHAKE) => TlsAcceptor::from(tls).accept(Counted { socket: stream, sent: 0 }).await.map(Some),
            // What began is perhaps HTTP without TLS, and then the client can read this.
            Some(_) => {
                if !is_own_question(&mut stream, connection).await? {
                    connection.log(NOT_TLS);
                }
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

/// Takes in what a proxy says of the connection before TLS begins, as those say it that pass TLS through; and no byte of
/// what comes behind it. One that speaks TLS itself says it within (gunicorn knows only those).
async fn take_in_proxy(stream: &mut impl Socket, connection: &mut Connection) -> io::Result<Result<(), Refusal>> {
    let mode = connection.clients.proxy_protocol;
    if mode == ProxyProtocol::Off || poll_fn(|context| stream.poll_peek(context)).await? == Some(HANDSHAKE) {
        return Ok(Ok(()));
    }
    let mut bytes = Vec::new();
    loop {
        match ProxyHeader::read(&bytes, mode) {
            Ok(ProxyHeader::Incomplete(missing)) => {
                if (&mut *stream).take(missing as u64).read_buf(&mut bytes).await? == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
            }
            Ok(ProxyHeader::Absent) => return Ok(Err(NOT_TLS)),
            Ok(ProxyHeader::Present(proxied, _)) => return Ok(connection.believe(proxied)),
            Err(refusal) => return Ok(Err(refusal)),
        }
    }
}

/// Whether a health check asks, which begins so where nobody told it how.
async fn is_own_question(stream: &mut impl Socket, connection: &Connection) -> io::Result<bool> {
    let mut begin = [0; 512];
    let size = stream.read(&mut begin).await?;
    let is_near = connection.peer.is_none_or(|(address, _)| address.to_canonical().is_loopback());
    Ok(is_near && memchr::memmem::find(&begin[..size], HEALTHCHECK.as_bytes()).is_some())
}

/// The first byte of TLS: the type of a record with a handshake (RFC 8446 section 5.1).
const HANDSHAKE: u8 = 22;

const NOT_TLS: Refusal = Refusal::new(403, TLS_WANTED);

/// A socket that counts what it takes: TLS takes more than it can pass on, and its client may be at that for long.
pub struct Counted<S> {
    socket: S,
    sent: u64,
}

impl<S> Counted<S> {
    fn count(&mut self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(size)) = &written {
            self.sent += *size as u64;
        }
        written
    }
}

impl<S: Socket> AsRawFd for Counted<S> {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

impl<S: Socket> AsyncRead for Counted<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_read(context, buffer)
    }
}

impl<S: Socket> AsyncWrite for Counted<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write(context, bytes);
        self.count(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write_vectored(context, slices);
        self.count(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(context)
    }
}

impl<S: Socket> Socket for TlsStream<Counted<S>> {
    const TAKES_FILES: bool = false;

    fn poll_send_file(&self, _: &mut Context<'_>, _: &File, _: u64, _: usize) -> Poll<io::Result<usize>> {
        Poll::Ready(Err(io::ErrorKind::Unsupported.into()))
    }

    fn reset(&self) {
        // Without the farewell that belongs to TLS it is broken already; without TLS it is made to look so.
        self.get_ref().0.socket.reset();
    }

    fn poll_peek(&self, _: &mut Context<'_>) -> Poll<io::Result<Option<u8>>> {
        Poll::Ready(Err(io::ErrorKind::Unsupported.into()))
    }

    fn sent(&self) -> u64 {
        self.get_ref().0.sent
    }
}
