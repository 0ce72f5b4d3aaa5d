//! Where HTTP and the app meet: a request, the way to read its body, and the way to answer.

use std::{fs::File, net::IpAddr, sync::Arc, task::Waker};

use bytes::Bytes;

use super::{Head, Origin};
use crate::wire;

/// Something that answers requests.
pub trait App: Send + Sync + 'static {
    /// Takes a request on. Must not block: it is called where connections live.
    fn call(&self, call: Call);

    /// Wakes a connection, which has something to do now, or in a few milliseconds with others. Called by whoever answers, on
    /// whatever thread.
    fn wake(&self, connection: Waker) {
        connection.wake();
    }

    /// Has the connections looked after while this call lasts, since it has something for them to do until then.
    fn hand_over(&self) {}

    /// Runs what may wait for a client, in the midst of a call.
    fn wait(&self, wait: &mut dyn FnMut()) {
        wait();
    }
}

/// Where a thread that runs Python gets its calls from.
pub trait CallSource: Send {
    /// The next, if there is one for this thread to take at once. Called with the GIL, so it waits for nothing.
    fn take(&mut self) -> Option<Call>;

    /// Waits, without the GIL, until it is worth to call [`CallSource::take`] again. Gives false when there are no more to come.
    fn wait(&mut self) -> bool;
}

/// One request with everything that is needed to answer it.
pub struct Call {
    /// What was asked.
    pub request: Request,
    /// The request's body.
    pub body: Box<dyn BodyReader>,
    /// The way to answer. Dropped without an answer, it tells the client that the server failed.
    pub responder: Box<dyn Responder>,
}

/// The head of a request, and where it came from.
#[derive(Debug)]
pub struct Request {
    /// Method, target, version and header fields.
    pub head: Arc<wire::Head>,
    /// The client's address and port; none on a unix socket.
    pub peer: Option<(IpAddr, u16)>,
    /// What a proxy said of the connection by the PROXY protocol.
    pub proxied: Option<Arc<wire::Proxied>>,
    /// The listener that it came through.
    pub origin: Arc<Origin>,
    /// Whether the access log asks for variables: [`Responder::note`] takes them.
    pub is_watched: bool,
}

/// Variables of the environ as the app left them, in the order in which the access log asks for them.
pub type Notes = Vec<Option<Vec<u8>>>;

/// Reads a request's body.
pub trait BodyReader: Send {
    /// The next piece, `None` at the end. Blocks until there is one.
    ///
    /// # Errors
    /// The body ended early or was malformed: what was read so far is not the whole.
    fn next(&mut self) -> Result<Option<Bytes>, BodyError>;

    /// Whether all that is left is in memory, so that nothing blocks.
    fn is_ready(&self) -> bool;
}

/// A request's body that did not come as it was announced.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the request's body could not be read: {why}")]
pub struct BodyError {
    /// That of the answer, where the app has none.
    pub status: u16,
    /// What happened.
    pub why: String,
}

/// Takes the answer to a request.
pub trait Responder: Send {
    /// Answers with a head and the whole body. Does not block.
    fn complete(&mut self, head: Head, body: Bytes);

    /// Answers with a head and so many bytes of a file from `offset` on. Does not block. The file must not be changed until
    /// they are sent; one that becomes shorter breaks the answer off.
    fn complete_file(&mut self, head: Head, file: File, offset: u64, length: u64);

    /// Takes what the access log asks for, in place of what it was given before. To be called before the answer ends.
    fn note(&mut self, notes: Notes);

    /// Sends a head that precedes the answer's (RFC 9110 section 15.2), as it is. Does not block.
    fn interim(&mut self, head: &[u8]);

    /// Begins an answer whose body follows through [`Responder::send`]. Does not block.
    fn begin(&mut self, head: Head);

    /// Sends a piece of the body; blocks while the client is slow.
    ///
    /// # Errors
    /// The client is gone.
    fn send(&mut self, piece: Bytes) -> Result<(), Gone>;

    /// Whether there is still someone to answer.
    fn is_wanted(&self) -> bool;

    /// Ends the body well.
    fn finish(&mut self);

    /// Ends a body that did not end well: the client must not take it for the whole. Changes nothing once the answer
    /// is complete. Dropping the responder does the same, but an app may keep it alive (it holds `start_response`).
    fn abort(&mut self);
}

/// The client does not wait for an answer any more.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the client closed the connection")]
pub struct Gone;
