//! The frames of an HTTP/2 connection on their way to the library (RFC 9113 section 4.1), mostly by their heads alone.
//!
//! The library judges frames. Here is what it leaves out (`frames/judge.rs`): a connection begins with SETTINGS (section 3.4);
//! frames have the size of their type, or the error says that (section 4.2); trailers have no pseudo-fields (section 8.1); windows
//! have a bound also where nothing more is sent, and settings say none beyond it (sections 6.9.1 and 6.5.2); content that nobody wants
//! may end early; and frames that carry nothing are counted. Whoever is found out is told by the library itself, which is fed something
//! that it refuses with the code that is due (`frames/fed.rs`): so what is said stands between whole frames, whatever carries them.
//!
//! Payloads are not looked at, and nothing is copied, as long as nothing is wrong and no trailers come; but for settings, and for what
//! windows grow by once nothing more is sent. Frames on their way to the client are `frames/sent.rs`'s.

mod fed;
mod head;
mod judge;
mod sent;

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use http::Version;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::activity::Activity;
use judge::{Heads, Look};
use sent::Sent;

pub(super) use fed::TRAILERS_BEGIN;
pub(super) use sent::Written;

/// What an HTTP/2 connection begins with (RFC 9113 section 3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A reader that looks at frames once its connection speaks HTTP/2, and passes on anything else.
pub(super) struct Frames<R> {
    reader: R,
    activity: Arc<Activity>,
    watch: Watch,
    sent: Sent,
    /// What is given instead of what was read, and what was read after that.
    given: BytesMut,
    rest: BytesMut,
}

enum Watch {
    /// So much of the preface has come.
    Preface(usize),
    Heads(Box<Heads>),
    /// The connection speaks something else.
    Nothing,
}

impl<R> Frames<R> {
    pub fn new(reader: R, activity: Arc<Activity>) -> Self {
        Self {
            reader,
            activity,
            watch: Watch::Preface(0),
            sent: Sent::default(),
            given: BytesMut::new(),
            rest: BytesMut::new(),
        }
    }

    /// Reads until it is clear what the connection speaks. What has come is there for whoever reads next.
    pub fn poll_version(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Version>>
    where
        R: AsyncRead + Unpin,
    {
        loop {
            match &self.watch {
                Watch::Heads(_) => return Poll::Ready(Ok(Version::HTTP_2)),
                Watch::Nothing if is_neither(&self.given) => {
                    let neither = "what came begins like neither HTTP/1.1 nor HTTP/2";
                    return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, neither)));
                }
                Watch::Nothing => return Poll::Ready(Ok(Version::HTTP_11)),
                Watch::Preface(_) => {}
            }
            let mut bytes = [0; PREFACE.len()];
            let mut buffer = ReadBuf::new(&mut bytes);
            ready!(Pin::new(&mut self.reader).poll_read(cx, &mut buffer))?;
            if buffer.filled().is_empty() {
                return Poll::Ready(Ok(Version::HTTP_11));
            }
            self.give(buffer.filled());
        }
    }

    /// Looks at what was read, and has it ready for whoever reads next.
    fn give(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let look = self.look(bytes);
            self.given.extend_from_slice(&bytes[..look.passes]);
            self.given.extend_from_slice(&look.instead);
            bytes = &bytes[look.passes + look.taken..];
        }
    }

    /// Looks at bytes that were written.
    fn look_at_written<'a>(&mut self, parts: impl IntoIterator<Item = &'a [u8]>) {
        if let Watch::Heads(heads) = &mut self.watch {
            for part in parts {
                self.sent.look(part, &self.activity, heads);
            }
        }
    }

    /// Looks at bytes that have come.
    fn look(&mut self, bytes: &[u8]) -> Look {
        let mut before = 0;
        if let Watch::Preface(come) = self.watch {
            let left = &PREFACE[come..];
            before = left.len().min(bytes.len());
            self.watch = match left[..before] == bytes[..before] {
                true if before == left.len() => Watch::Heads(Box::default()),
                true => Watch::Preface(come + before),
                false => Watch::Nothing,
            };
        }
        match &mut self.watch {
            Watch::Heads(heads) => {
                let look = heads.look(&bytes[before..], &self.activity);
                Look {
                    passes: before + look.passes,
                    ..look
                }
            }
            Watch::Preface(_) | Watch::Nothing => Look::passes(bytes.len()),
        }
    }
}

/// Whether a line of three words has begun of which the second is no target of a request (RFC 9112 section 3.2) and the third no
/// protocol's name: a preface gone wrong (RFC 9113 section 3.4), whose sender reads frames, and would take an answer for one. A proxy that
/// may not tell whom it speaks for is answered: who set it up reads that in its log.
fn is_neither(begun: &[u8]) -> bool {
    const NAME: &[u8] = b"HTTP/";
    if begun.starts_with(b"PROXY ") {
        return false;
    }
    let line = begun.split(|byte| b"\r\n".contains(byte)).next().unwrap_or_default();
    let mut words = line.splitn(3, |byte| *byte == b' ');
    let (Some(1..), Some(target @ [_, ..]), Some(protocol)) =
        (words.next().map(<[u8]>::len), words.next(), words.next())
    else {
        return false;
    };
    let is_target = target.starts_with(b"/") || target == b"*" || target.contains(&b':');
    let is_name = protocol.len() < NAME.len() || protocol[..NAME.len()].eq_ignore_ascii_case(NAME);
    !is_target && !is_name
}

/// What is written passes as it is.
impl<R: AsyncWrite + Unpin> AsyncWrite for Frames<R> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.reader).poll_write(cx, bytes))?;
        self.look_at_written([&bytes[..written]]);
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        self.reader.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.reader).poll_write_vectored(cx, parts))?;
        let mut left = written;
        self.look_at_written(parts.iter().map(|part| {
            let taken = left.min(part.len());
            left -= taken;
            &part[..taken]
        }));
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.reader).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.reader).poll_shutdown(cx)
    }
}

impl<R: AsyncRead + Unpin> AsyncRead for Frames<R> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            if !self.given.is_empty() {
                let fits = self.given.len().min(buffer.remaining());
                buffer.put_slice(&self.given.split_to(fits));
                return Poll::Ready(Ok(()));
            }
            if !self.rest.is_empty() {
                let rest = self.rest.split();
                self.give(&rest);
                continue;
            }
            let before = buffer.filled().len();
            ready!(Pin::new(&mut self.reader).poll_read(cx, buffer))?;
            let bytes = &buffer.filled()[before..];
            if bytes.is_empty() {
                return Poll::Ready(Ok(()));
            }
            let look = self.look(bytes);
            if look.passes == bytes.len() {
                return Poll::Ready(Ok(()));
            }
            self.given.extend_from_slice(&look.instead);
            self.rest.extend_from_slice(&bytes[look.passes + look.taken..]);
            buffer.set_filled(before + look.passes);
            if look.passes > 0 {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::fed::{flow_control_error, frame_size_error};
    use super::head::*;
    use super::judge::Open;
    use super::*;
    use crate::door::Door;
    use crate::inbound::ProxyOptions;
    use crate::limits::{Limit, ServerLimits};

    fn head(length: usize, kind: u8, flags: u8, stream: u32) -> Vec<u8> {
        let head = Head {
            length,
            kind,
            flags,
            stream,
        };
        head.to_bytes().to_vec()
    }

    fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
        [head(payload.len(), kind, flags, stream), payload.to_vec()].concat()
    }

    fn activity() -> Activity {
        Activity::new(Arc::new(Door::new(
            ServerLimits::default(),
            ProxyOptions::default(),
            None,
            None,
            Vec::new(),
        )))
    }

    /// What passes of `bytes` after the preface and SETTINGS, read in pieces of `size`.
    fn passed(bytes: &[u8], size: usize) -> Vec<u8> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let all = [&PREFACE[..], &head(0, SETTINGS, 0, 0), bytes].concat();
        runtime.block_on(async {
            let pieces = all.chunks(size).map(|piece| Ok::<_, io::Error>(BytesMut::from(piece)));
            let reader = tokio_util::io::StreamReader::new(futures_util::stream::iter(pieces));
            let mut frames = Frames::new(reader, Arc::new(activity()));
            let mut passed = Vec::new();
            tokio::io::AsyncReadExt::read_to_end(&mut frames, &mut passed)
                .await
                .unwrap();
            passed.split_off(PREFACE.len() + HEAD_BYTES)
        })
    }

    /// What is left of `bytes`, as they come in pieces of `size`.
    fn through(mut heads: Heads, bytes: &[u8], size: usize) -> Vec<u8> {
        let activity = activity();
        let mut left = Vec::new();
        for mut piece in bytes.chunks(size) {
            while !piece.is_empty() {
                let look = heads.look(piece, &activity);
                left.extend(&piece[..look.passes]);
                left.extend(&look.instead);
                piece = &piece[look.passes + look.taken..];
            }
        }
        left
    }

    /// However it comes.
    #[track_caller]
    fn check(bytes: &[u8], expected: &[u8]) {
        for size in [1, 2, 7, 9, 10, 33, 1000] {
            assert_eq!(passed(bytes, size), expected, "in pieces of {size}");
        }
    }

    #[test]
    fn what_is_right_passes() {
        let request = frame(HEADERS, END_HEADERS, 1, b"block");
        let content = frame(DATA, END_STREAM, 1, b"content");
        check(
            &[request, content, frame(PING, 0, 0, &[0; 8])].concat(),
            &[
                frame(HEADERS, END_HEADERS, 1, b"block"),
                frame(DATA, END_STREAM, 1, b"content"),
                frame(PING, 0, 0, &[0; 8]),
            ]
            .concat(),
        );
    }

    #[test]
    fn trailers_begin_with_a_field() {
        let request = frame(HEADERS, END_HEADERS, 1, b"block");
        let trailers = frame(HEADERS, END_HEADERS | END_STREAM, 1, b"trailers");
        let field = [&[0, 20][..], TRAILERS_BEGIN.as_bytes(), &[0]].concat();
        let expected = [
            request.clone(),
            frame(HEADERS, END_STREAM, 1, &field),
            frame(CONTINUATION, END_HEADERS, 1, b"trailers"),
        ];
        check(&[request, trailers].concat(), &expected.concat());
    }

    #[test]
    fn trailers_lose_their_padding() {
        let request = frame(HEADERS, END_HEADERS, 1, b"block");
        let field = [&[0, 20][..], TRAILERS_BEGIN.as_bytes(), &[0]].concat();
        let expected = [
            request.clone(),
            frame(HEADERS, END_STREAM, 1, &field),
            frame(CONTINUATION, END_HEADERS, 1, b"trailers"),
        ];
        for (flags, payload) in [
            (PADDED, &b"\x03trailers\0\0\0"[..]),
            (WITH_PRIORITY, b"\0\0\0\0\x10trailers"),
            (PADDED | WITH_PRIORITY, b"\x01\0\0\0\0\x10trailers\0"),
        ] {
            let trailers = frame(HEADERS, END_HEADERS | END_STREAM | flags, 1, payload);
            check(&[request.clone(), trailers].concat(), &expected.concat());
        }
        let wrong = frame(HEADERS, END_HEADERS | END_STREAM | PADDED, 1, b"\x09trailers");
        check(&[request.clone(), wrong.clone()].concat(), &[request, wrong].concat());
    }

    #[test]
    fn initial_windows_have_a_bound() {
        let sets = |window: u32| {
            let settings = [&[0, 3, 0, 0, 0, 9, 0, 4][..], &window.to_be_bytes()].concat();
            frame(SETTINGS, 0, 0, &settings)
        };
        let ping = frame(PING, 0, 0, &[0; 8]);
        check(&[sets(1 << 31), ping.clone()].concat(), &flow_control_error());
        let most = [sets((1 << 31) - 1), ping].concat();
        check(&most, &most);
    }

    #[test]
    fn content_of_nothing_is_left_out() {
        let request = frame(HEADERS, END_HEADERS, 1, b"block");
        let end = frame(DATA, END_STREAM, 1, b"");
        let all = [&request[..], &frame(DATA, 0, 1, b""), &frame(DATA, 0, 1, b""), &end].concat();
        check(&all, &[request, end].concat());
    }

    #[test]
    fn goodbyes_tell_of_limits() {
        let goodbye = |word: &[u8]| frame(GOAWAY, 0, 0, &[&[0; 8], word].concat());
        let pong = frame(PING, ACK, 0, &[0; 8]);
        for (written, limit) in [
            (goodbye(b"too_many_resets"), Some(Limit::Resets)),
            (goodbye(b"header_list_way_too_large"), Some(Limit::HeadBytes)),
            (goodbye(b""), None),
            (goodbye(b"too_many"), None),
            (b"too_many_resets".to_vec(), None),
            // Content that looks like one.
            (frame(DATA, 0, 1, &goodbye(b"too_many_resets")), None),
            (frame(DATA, 0, 1, b"........too_many_resets"), None),
        ] {
            let all = [
                &pong[..],
                &frame(DATA, 0, 1, b"content"),
                &frame(SETTINGS, 0, 0, b""),
                &written,
            ]
            .concat();
            for size in [1, 2, 8, 9, 10, 33, 1000] {
                let mut seen = Written::default();
                let limits: Vec<_> = all.chunks(size).filter_map(|piece| seen.look(piece)).collect();
                assert_eq!(
                    limits,
                    limit.into_iter().collect::<Vec<_>>(),
                    "{written:?} in pieces of {size}"
                );
            }
        }
    }

    #[test]
    fn goodbyes_after_the_first_carry_nothing() {
        let goodbye = frame(GOAWAY, 0, 0, &[0; 8]);
        let many = ServerLimits::default().control_frames_max as usize;
        // The client's SETTINGS are one of them.
        let allowed = goodbye.repeat(many);
        let more = [&allowed[..], &goodbye].concat();
        assert!(passed(&allowed, 1000) == allowed, "as many as there may be");
        assert!(passed(&more, 1000) != more, "one more");
    }

    #[test]
    fn windows_of_answered_streams_have_a_bound() {
        let grows = |by: u32| frame(WINDOW_UPDATE, 0, 1, &by.to_be_bytes());
        let ping = frame(PING, 0, 0, &[0; 8]);
        let most = u32::MAX >> 1;
        for (grown, refused) in [
            ([grows(most), ping.clone()], false),
            ([grows(most), grows(1)], true),
            ([grows(1), grows(most)], true),
            ([grows(most - 1), grows(1)], false),
        ] {
            let after = frame(DATA, END_STREAM, 1, b"");
            let mut expected = match (refused, grown[1] == ping) {
                (true, _) => flow_control_error(),
                (false, true) => ping.clone(),
                (false, false) => Vec::new(),
            };
            if !refused {
                expected.extend(&after);
            }
            let all = [&grown.concat()[..], &after].concat();
            for size in [1, 3, 9, 11, 1000] {
                let mut heads = Heads::default();
                heads.look(&head(0, SETTINGS, 0, 0), &activity());
                heads.open.insert(1, Open::default());
                heads.answered(1);
                assert_eq!(through(heads, &all, size), expected, "{grown:?} in pieces of {size}");
            }
        }
    }

    /// What begins like which protocol, as far as a preface is long.
    #[test]
    fn what_is_neither() {
        for (begun, neither) in [
            ("INVALID CONNECTION PREFA", true),
            ("PRI . SMTP/2.0", true),
            ("GET / HTTP/1.1\r\nhost: a", false),
            ("GET / HTTQ/1.1\r\nhost: a", false),
            ("CONNECT a.test:1 HTTQ/1.", false),
            ("OPTIONS * HTTQ/1.1\r\n", false),
            ("GET http://a.test/ HTTQ/", false),
            (" GET / HTTP/1.1\r\n", false),
            ("GET  / HTTP/1.1\r\n", false),
            ("GET a HTTP/1.1\r\n", false),
            ("GET a http/1.1\r\n", false),
            ("PROXY TCP4 100.100.100.1", false),
            ("GET a HTT", false),
            ("GET\r\na b c d e f g h i j", false),
            ("", false),
        ] {
            assert_eq!(is_neither(begun.as_bytes()), neither, "{begun:?}");
        }
    }

    #[test]
    fn what_is_wrong_ends_in_what_is_refused() {
        let after = frame(PING, 0, 0, &[0; 8]);
        check(
            &[frame(PING, 0, 0, &[0; 7]), after.clone()].concat(),
            &frame_size_error(),
        );
        check(&[frame(RST_STREAM, 0, 1, &[0; 5]), after].concat(), &frame_size_error());
    }
}
