//! The bodies that development adds: events as they come, and a script behind a page.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::stream::unfold;
use http_body::{Body, Frame, SizeHint};
use http_body_util::StreamBody;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use wharf_host::http::{ErrorCode, Payload};

use super::State;

/// Server-sent events (HTML, section 9.2): `version` at the beginning and `failed` after it where something is wrong; then `reload`,
/// `failed` and `fixed` as they happen. They end with `drain`.
pub(super) fn events(
    news: watch::Receiver<State>,
    drain: CancellationToken,
) -> impl Body<Data = Bytes, Error = ErrorCode> + Send + 'static {
    let events = unfold((news, drain, None), async |(mut news, drain, before)| {
        if before.is_some() {
            tokio::select! {
                changed = news.changed() => changed.ok()?,
                () = drain.cancelled() => return None,
            }
        }
        let now = news.borrow_and_update().clone();
        let text = said(before.as_ref(), &now);
        Some((Ok(Frame::data(Bytes::from(text))), (news, drain, Some(now))))
    });
    StreamBody::new(events)
}

/// What somebody is told who knew `before`.
fn said(before: Option<&State>, now: &State) -> String {
    let version = now.version();
    let failed = now.trouble().map(|trouble| event("failed", trouble));
    match before {
        // A browser comes back half a second after the server has gone.
        None => format!(
            "retry: 500\n{}{}",
            event("version", &version),
            failed.unwrap_or_default()
        ),
        Some(before) => {
            let is_new = before.changes != now.changes;
            let mut said = match is_new {
                true => event("reload", &version),
                false => String::new(),
            };
            match failed {
                Some(failed) => said += &failed,
                None if !is_new => said = event("fixed", &version),
                None => {}
            }
            said
        }
    }
}

fn event(name: &str, data: &str) -> String {
    // A field ends where its line does.
    let lines = data.lines().map(|line| format!("data: {line}\n"));
    format!("event: {name}\n{}\n", lines.collect::<String>())
}

/// A body with something behind it. What it has is passed on as it comes.
pub(super) struct Appended {
    body: Payload,
    more: Option<Bytes>,
    trailers: Option<Frame<Bytes>>,
}

impl Appended {
    pub fn new(body: Payload, more: Bytes) -> Self {
        Self {
            body,
            more: Some(more),
            trailers: None,
        }
    }
}

impl Body for Appended {
    type Data = Bytes;
    type Error = ErrorCode;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, ErrorCode>>> {
        if self.more.is_none() {
            return Poll::Ready(self.trailers.take().map(Ok));
        }
        match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
            Some(Ok(frame)) if frame.is_data() => return Poll::Ready(Some(Ok(frame))),
            Some(Ok(trailers)) => self.trailers = Some(trailers),
            Some(Err(error)) => return Poll::Ready(Some(Err(error))),
            None => {}
        }
        Poll::Ready(self.more.take().map(|more| Ok(Frame::data(more))))
    }

    fn is_end_stream(&self) -> bool {
        self.more.is_none() && self.trailers.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        let more = self.more.as_ref().map_or(0, |more| more.len() as u64);
        let hint = self.body.size_hint();
        let mut both = SizeHint::new();
        both.set_lower(hint.lower() + more);
        if let Some(upper) = hint.upper() {
            both.set_upper(upper + more);
        }
        both
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(changes: u64, trouble: Option<&str>) -> State {
        State {
            server: 10,
            changes,
            not_built: trouble.map(Into::into),
            not_loaded: None,
        }
    }

    #[test]
    fn events_say_what_is_new() {
        #[track_caller]
        fn check(before: Option<State>, now: State, expected: &str) {
            assert_eq!(said(before.as_ref(), &now), expected);
        }
        let begin = "retry: 500\nevent: version\ndata: a-1\n\n";
        check(None, state(1, None), begin);
        let failed = "event: failed\ndata: one\ndata: two\n\n";
        check(None, state(1, Some("one\ntwo")), &format!("{begin}{failed}"));
        check(Some(state(0, None)), state(1, None), "event: reload\ndata: a-1\n\n");
        check(Some(state(1, None)), state(1, Some("one\ntwo\n")), failed);
        check(
            Some(state(1, Some("one"))),
            state(1, None),
            "event: fixed\ndata: a-1\n\n",
        );
        check(
            Some(state(0, Some("one"))),
            state(1, None),
            "event: reload\ndata: a-1\n\n",
        );
    }
}
