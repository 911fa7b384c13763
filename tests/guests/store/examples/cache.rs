//! Does what the request's body says with the app's cache, a step a line: `get KEY`, `set KEY VALUE TTL`, `delete KEY`,
//! `increment KEY DELTA TTL`, `sleep MS`, `text-get KEY`, `text-set KEY VALUE TTL`, TTL being `-` for none. Of leases: `lease KEY` looks up and
//! drops what it gets; `make KEY VALUE TTL MS` looks up, and where it is its turn takes MS milliseconds to fill in VALUE;
//! `drop KEY MS`, `decline KEY MS`, `hold KEY` and `trap KEY` do otherwise. `together` does all that come after it at once, and `times N` does the next
//! step N times.

use futures::future::join_all;
use guests_http::sleep_ms;
use guests_store::cache::{self, Lease, Lookup};
use guests_store::{answer, key, service, shown, steps, value};
use wasip3::http::types::{ErrorCode, Request, Response};

service!(handle);

async fn handle(request: Request) -> Result<Response, ErrorCode> {
    let steps = steps(request).await;
    let mut held = Vec::new();
    let mut lines = Vec::new();
    let mut steps = steps.into_iter();
    let mut times = 1;
    while let Some(words) = steps.next() {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        match words[..] {
            ["together"] => {
                let rest = steps.by_ref().collect::<Vec<_>>();
                let all = rest.iter().map(|words| {
                    let words = words.iter().map(String::as_str).collect();
                    async move { step(words).await }
                });
                lines.extend(join_all(all).await);
            }
            ["times", n] => times = n.parse().expect("a number"),
            ["hold", of] => match look_up(of).await {
                Ok(lease) => {
                    held.push(lease);
                    lines.push("held".to_owned());
                }
                Err(line) => lines.push(line),
            },
            _ => {
                let all = (0..times).map(|_| step(words.clone()));
                let mut done = join_all(all).await;
                done.dedup();
                lines.extend(done);
                times = 1;
            }
        }
    }
    answer(&lines)
}

async fn step(words: Vec<&str>) -> String {
    match words[..] {
        ["get", of] => match cache::get(key(of)).await {
            Ok(Some(value)) => format!("value {}", shown(&value)),
            Ok(None) => "none".to_owned(),
            Err(error) => format!("{error:?}"),
        },
        ["set", of, what, ttl] => said(cache::set(key(of), value(what), seconds(ttl)).await),
        ["delete", of] => said(cache::delete(key(of)).await),
        ["increment", of, delta, ttl] => {
            match cache::increment(key(of), delta.parse().expect("a number"), seconds(ttl)).await {
                Ok(sum) => format!("sum {sum}"),
                Err(error) => format!("{error:?}"),
            }
        }
        ["text-get", of] => format!("{:?}", cache::text::get(key(of)).await),
        ["text-set", of, what, ttl] => {
            cache::text::set(key(of), what.to_owned(), ttl.parse().expect("a number")).await;
            "set".to_owned()
        }
        ["sleep", ms] => {
            sleep_ms(ms.parse().expect("a number")).await;
            "slept".to_owned()
        }
        ["lease", of] => match look_up(of).await {
            Ok(_) => "miss".to_owned(),
            Err(line) => line,
        },
        ["make", of, what, ttl, ms] => match look_up(of).await {
            Ok(lease) => {
                sleep_ms(ms.parse().expect("a number")).await;
                let filled = said(Lease::fill(lease, value(what), seconds(ttl)).await);
                format!("made {filled}")
            }
            Err(line) => line,
        },
        ["drop", of, ms] => match look_up(of).await {
            Ok(lease) => {
                sleep_ms(ms.parse().expect("a number")).await;
                drop(lease);
                "dropped".to_owned()
            }
            Err(line) => line,
        },
        ["decline", of, ms] => match look_up(of).await {
            Ok(lease) => {
                sleep_ms(ms.parse().expect("a number")).await;
                Lease::decline(lease);
                "declined".to_owned()
            }
            Err(line) => line,
        },
        ["trap", of] => {
            let _lease = look_up(of).await;
            panic!("as asked");
        }
        _ => panic!("no step: {words:?}"),
    }
}

/// The lease, or what is said instead.
async fn look_up(of: &str) -> Result<Lease, String> {
    match cache::get_or_lease(key(of)).await {
        Ok(Lookup::Hit(value)) => Err(format!("hit {}", shown(&value))),
        Ok(Lookup::Miss(lease)) => Ok(lease),
        Err(error) => Err(format!("{error:?}")),
    }
}

fn said(done: Result<(), cache::Error>) -> String {
    match done {
        Ok(()) => "ok".to_owned(),
        Err(error) => format!("{error:?}"),
    }
}

fn seconds(word: &str) -> Option<u32> {
    (word != "-").then(|| word.parse().expect("a number"))
}
