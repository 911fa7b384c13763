//! What the guests of key-value stores do, whose shapes of the interface differ.

/// Does what the request's body says with a store, a step a line: `open NAME`, `get KEY`, `set KEY VALUE`, `delete KEY`,
/// `exists KEY`, `list`, `increment KEY DELTA`, `get-many KEYS`, `set-many KEY VALUE KEY VALUE...`, `delete-many KEYS`; `swap KEY VALUE`
/// compares and swaps, `swap-late KEY VALUE OTHER` after OTHER was set in between, and then again. Each guest has its own
/// shape of the interface, and says in `pairs`, `place` and `swap` what differs.
#[macro_export]
macro_rules! keyvalue_steps {
    () => {
        use guests_store::{answer, key, service, shown, steps, value};
        use wasi::keyvalue::{atomics, batch, store};
        use wasip3::http::types::{ErrorCode, Request, Response};

        service!(handle);

        async fn handle(request: Request) -> Result<Response, ErrorCode> {
            let mut bucket = store::open("default");
            let mut lines = Vec::new();
            for words in steps(request).await {
                let words: Vec<&str> = words.iter().map(String::as_str).collect();
                if let ["open", name] = words[..] {
                    bucket = store::open(&key(name));
                    lines.push(match &bucket {
                        Ok(_) => "opened".to_owned(),
                        Err(error) => format!("{error:?}"),
                    });
                    continue;
                }
                match &bucket {
                    Ok(bucket) => lines.push(match step(bucket, &words) {
                        Ok(line) => line,
                        Err(error) => format!("{error:?}"),
                    }),
                    Err(error) => lines.push(format!("{error:?}")),
                }
            }
            answer(&lines)
        }

        fn step(bucket: &store::Bucket, words: &[&str]) -> Result<String, store::Error> {
            let done = |()| "ok".to_owned();
            match words {
                ["get", of] => Ok(match bucket.get(&key(of))? {
                    Some(value) => format!("value {}", shown(&value)),
                    None => "none".to_owned(),
                }),
                ["set", of, what] => bucket.set(&key(of), &value(what)).map(done),
                ["delete", of] => bucket.delete(&key(of)).map(done),
                ["exists", of] => bucket.exists(&key(of)).map(|found| found.to_string()),
                ["list"] => {
                    let (mut keys, mut cursor, mut pages) = (Vec::new(), None, 0);
                    loop {
                        let page = bucket.list_keys(place(&cursor))?;
                        keys.extend(page.keys);
                        pages += 1;
                        cursor = page.cursor;
                        if cursor.is_none() {
                            break;
                        }
                    }
                    keys.sort();
                    let all = keys.len();
                    keys.truncate(5);
                    Ok(format!(
                        "{all} keys on {} {}",
                        if pages > 1 { "pages" } else { "a page" },
                        keys.join(" ")
                    ))
                }
                ["increment", of, delta] => {
                    let sum = atomics::increment(bucket, &key(of), delta.parse().expect("a number"))?;
                    Ok(format!("sum {sum}"))
                }
                ["get-many", keys @ ..] => {
                    let keys: Vec<String> = keys.iter().map(|of| key(of)).collect();
                    Ok(pairs(batch::get_many(bucket, &keys)?))
                }
                ["set-many", entries @ ..] => {
                    let entries = entries.chunks(2).map(|pair| (key(pair[0]), value(pair[1])));
                    batch::set_many(bucket, &entries.collect::<Vec<_>>()).map(done)
                }
                ["delete-many", keys @ ..] => {
                    let keys: Vec<String> = keys.iter().map(|of| key(of)).collect();
                    batch::delete_many(bucket, &keys).map(done)
                }
                ["swap", of, what] => swap(bucket, &key(of), value(what), None),
                ["swap-late", of, what, other] => swap(bucket, &key(of), value(what), Some(value(other))),
                _ => panic!("no step: {words:?}"),
            }
        }
    };
}

/// Comparing and swapping, for the shapes that have it.
#[macro_export]
macro_rules! keyvalue_swap {
    () => {
        fn swap(
            bucket: &store::Bucket,
            of: &str,
            what: Vec<u8>,
            other: Option<Vec<u8>>,
        ) -> Result<String, store::Error> {
            let cas = atomics::Cas::new(bucket, of)?;
            let seen = cas.current()?.map_or("none".to_owned(), |value| shown(&value));
            if let Some(other) = other {
                bucket.set(of, &other)?;
            }
            match atomics::swap(cas, &what) {
                Ok(()) => Ok(format!("swapped {seen}")),
                Err(atomics::CasError::StoreError(error)) => Err(error),
                Err(atomics::CasError::CasFailed(cas)) => match atomics::swap(cas, &what) {
                    Ok(()) => Ok(format!("late {seen} then swapped")),
                    Err(error) => Ok(format!("late twice {error:?}")),
                },
            }
        }

        fn place(cursor: &Option<String>) -> Option<&str> {
            cursor.as_deref()
        }
    };
}
