//! The same question in HTTP/2, for servers that take nothing else in the clear (`http2_cleartext`).

use std::{
    io,
    net::TcpStream as StdTcpStream,
    os::{fd::OwnedFd, unix::net::UnixStream as StdUnixStream},
};

use http::{Request, header::USER_AGENT};
use socket2::{Domain, Socket};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
    runtime,
    time::timeout_at,
};

use crate::wire::HEALTHCHECK;

use super::{place::Place, question::Reply, timed::Timed};

trait Stream: AsyncRead + AsyncWrite + Unpin {}

impl<S: AsyncRead + AsyncWrite + Unpin> Stream for S {}

/// Asks for `path`, and takes the head of the answer.
pub fn put(stream: Timed, place: &Place, path: &str) -> io::Result<Reply> {
    let deadline = stream.deadline();
    runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        let answer = ask(stream.into_socket(), place, path);
        timeout_at(deadline.into(), answer).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    })
}

async fn ask(socket: Socket, place: &Place, path: &str) -> io::Result<Reply> {
    let request = Request::get(format!("http://{}{path}", place.host())).header(USER_AGENT, HEALTHCHECK).body(());
    let request = request.map_err(io::Error::other)?;
    let (client, mut connection) = h2::client::handshake(stream(socket)?).await.map_err(io::Error::other)?;
    let answer = async {
        let (answer, _) = client.ready().await?.send_request(request, true)?;
        answer.await
    };
    tokio::select! {
        answer = answer => {
            let status = answer.map_err(io::Error::other)?.status();
            Ok(Reply::Answer { code: status.as_u16(), status: status.to_string() })
        }
        _ = &mut connection => Err(io::Error::other("it closed the connection without an answer")),
    }
}

fn stream(socket: Socket) -> io::Result<Box<dyn Stream>> {
    socket.set_nonblocking(true)?;
    let is_unix = socket.domain()? == Domain::UNIX;
    let socket = OwnedFd::from(socket);
    Ok(if is_unix {
        Box::new(UnixStream::from_std(StdUnixStream::from(socket))?)
    } else {
        Box::new(TcpStream::from_std(StdTcpStream::from(socket))?)
    })
}
