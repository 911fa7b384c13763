//! Keeps what it is given as long as its instance lives.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;

use guests_http::sleep_ms;
use wasip3::random::random::get_random_u64;
use wit_bindgen::{FutureReader, StreamReader};

wit_bindgen::generate!({
    path: "wit",
    world: "linked",
});

use exports::acme::store::store::{
    Cursor, CursorBorrow, Entry, Failure, Guest, GuestCursor, Modes, Odd, Page, Trouble, Vast, Wide,
};

struct Store;

fn odd_of(number: u32) -> Odd {
    let text = |nth: u32| format!("{number}.{nth}");
    Odd {
        number,
        texts: (text(0), text(1), text(2), text(3), text(4), text(5)),
    }
}

fn wide_of(number: u32) -> Wide {
    let text = |nth: u32| format!("{number}.{nth}");
    Wide {
        number,
        first: (text(0), text(1), text(2), text(3), text(4), text(5), text(6), text(7)),
        last: (text(8), text(9), text(10), text(11), text(12), text(13), text(14)),
    }
}

fn vast_of(number: u64) -> Vast {
    let nth = std::cell::Cell::new(0);
    let text = || {
        nth.set(nth.get() + 1);
        format!("{number}.{}", nth.get())
    };
    let eight = || (text(), text(), text(), text(), text(), text(), text(), text());
    let eights = || (eight(), eight(), eight(), eight(), eight(), eight(), eight(), eight());
    let texts = (
        eights(),
        eights(),
        eights(),
        eights(),
        eights(),
        eights(),
        eights(),
        eights(),
    );
    Vast { number, texts }
}

thread_local! {
    static IDENTITY: u64 = get_random_u64();
    static VALUES: RefCell<HashMap<String, String>> = RefCell::default();
    static CALLS: Cell<u32> = const { Cell::new(0) };
    static UNDER_WAY: Cell<u32> = const { Cell::new(0) };
    static MADE: Cell<u32> = const { Cell::new(0) };
    static LIVE: Cell<u32> = const { Cell::new(0) };
}

struct Counter(Cell<u32>);

impl Counter {
    fn new(at: u32) -> Self {
        LIVE.set(LIVE.get() + 1);
        Self(Cell::new(at))
    }
}

impl Drop for Counter {
    fn drop(&mut self) {
        LIVE.set(LIVE.get() - 1);
    }
}

impl GuestCursor for Counter {
    fn new(at: u32) -> Self {
        Counter::new(at)
    }

    async fn next(&self) -> u32 {
        sleep_ms(1).await;
        self.0.set(self.0.get() + 1);
        self.0.get()
    }

    fn at(&self) -> u32 {
        self.0.get()
    }

    fn merge(one: Cursor, other: CursorBorrow<'_>) -> Cursor {
        let later = one.get::<Counter>().at().max(other.get::<Counter>().at());
        Cursor::new(Counter::new(later))
    }
}

type Maybe = Option<Result<i64, Failure>>;

impl Guest for Store {
    type Cursor = Counter;

    async fn about(hold_ms: u32) -> String {
        CALLS.set(CALLS.get() + 1);
        UNDER_WAY.set(UNDER_WAY.get() + 1);
        let (calls, under_way) = (CALLS.get(), UNDER_WAY.get());
        sleep_ms(hold_ms.into()).await;
        UNDER_WAY.set(UNDER_WAY.get() - 1);
        format!(
            "instance {:016x} call {calls} at-once {under_way}",
            IDENTITY.with(|identity| *identity)
        )
    }

    async fn set(key: String, value: String) {
        VALUES.with_borrow_mut(|values| values.insert(key, value));
    }

    async fn get(key: String) -> Option<String> {
        VALUES.with_borrow(|values| values.get(&key).cloned())
    }

    async fn mirror(
        entries: Vec<Entry>,
        modes: Modes,
        pair: (f64, char),
        maybe: Maybe,
    ) -> (Vec<Entry>, Modes, (f64, char), Maybe) {
        (entries, modes, pair, maybe)
    }

    async fn open(count: u32) -> Result<Vec<Cursor>, Failure> {
        match count {
            0 => Err(Failure::NotFound),
            count => Ok((0..count).map(|at| Cursor::new(Counter::new(at))).collect()),
        }
    }

    fn live() -> u32 {
        LIVE.get()
    }

    async fn rows(count: u32, pause_ms: u32, how: String) -> (StreamReader<Entry>, FutureReader<Result<u32, Failure>>) {
        let (mut writer, rows) = wit_stream::new();
        let (end, ended) = wit_future::new(|| Err(Failure::Unavailable("dropped".to_owned())));
        wit_bindgen::spawn_local(async move {
            for number in 0..count {
                sleep_ms(pause_ms.into()).await;
                if number == count / 2 {
                    fail(&how).await;
                }
                MADE.set(MADE.get() + 1);
                if writer.write_one(row(number)).await.is_some() {
                    break;
                }
            }
            drop(writer);
            let _ = end.write(Ok(count)).await;
        });
        (rows, ended)
    }

    async fn sum(mut numbers: StreamReader<u64>) -> u64 {
        let mut sum = 0;
        while let Some(number) = numbers.next().await {
            sum += number;
        }
        sum
    }

    async fn upper(mut text: StreamReader<u8>) -> StreamReader<u8> {
        let (mut writer, upper) = wit_stream::new();
        wit_bindgen::spawn_local(async move {
            while let Some(byte) = text.next().await {
                if writer.write_one(byte.to_ascii_uppercase()).await.is_some() {
                    break;
                }
            }
        });
        upper
    }

    async fn ticks(count: u32) -> (StreamReader<()>, FutureReader<()>) {
        let (mut writer, ticks) = wit_stream::new();
        let (end, ended) = wit_future::new(|| ());
        wit_bindgen::spawn_local(async move {
            writer.write_all(vec![(); count as usize]).await;
            drop(writer);
            let _ = end.write(()).await;
        });
        (ticks, ended)
    }

    async fn count(ticks: StreamReader<()>) -> u32 {
        ticks.collect().await.len() as u32
    }

    async fn sizes(count: u32) -> (StreamReader<Odd>, StreamReader<Wide>) {
        let (mut odd_writer, odd) = wit_stream::new();
        let (mut wide_writer, wide) = wit_stream::new();
        wit_bindgen::spawn_local(async move {
            odd_writer.write_all((0..count).map(odd_of).collect()).await;
        });
        wit_bindgen::spawn_local(async move {
            wide_writer.write_all((0..count).map(wide_of).collect()).await;
        });
        (odd, wide)
    }

    async fn large(count: u32) -> StreamReader<Vast> {
        let (mut writer, large) = wit_stream::new();
        wit_bindgen::spawn_local(async move {
            writer.write_all((0..count.into()).map(vast_of).collect()).await;
        });
        large
    }

    async fn heard(mut large: StreamReader<Vast>) -> String {
        let mut heard = (0, String::new());
        while let Some(vast) = large.next().await {
            heard.0 += vast.number;
            heard.1 += &vast.texts.7.7.7;
        }
        format!("{heard:?}")
    }

    async fn walk(count: u32, how: String) -> StreamReader<Cursor> {
        let (mut writer, cursors) = wit_stream::new();
        wit_bindgen::spawn_local(async move {
            for at in 0..count {
                if at == count / 2 {
                    fail(&how).await;
                }
                if writer.write_one(Cursor::new(Counter::new(at))).await.is_some() {
                    break;
                }
            }
        });
        cursors
    }

    async fn gather(mut cursors: StreamReader<Cursor>) -> u32 {
        let mut sum = 0;
        while let Some(cursor) = cursors.next().await {
            sum += cursor.get::<Counter>().at();
        }
        sum
    }

    async fn later(at: u32) -> FutureReader<Cursor> {
        let (writer, cursor) = wit_future::new(|| Cursor::new(Counter::new(0)));
        wit_bindgen::spawn_local(async move {
            sleep_ms(1).await;
            let _ = writer.write(Cursor::new(Counter::new(at))).await;
        });
        cursor
    }

    async fn arrived(cursor: FutureReader<Cursor>) -> u32 {
        cursor.await.get::<Counter>().at()
    }

    async fn chunks(count: u32) -> StreamReader<StreamReader<u8>> {
        let (mut writer, chunks) = wit_stream::new();
        wit_bindgen::spawn_local(async move {
            for number in 0..count {
                let (mut bytes, chunk) = wit_stream::new();
                if writer.write_one(chunk).await.is_some() {
                    break;
                }
                MADE.set(MADE.get() + 1);
                bytes.write_all(format!("{number} ").into_bytes()).await;
            }
        });
        chunks
    }

    async fn join(mut chunks: StreamReader<StreamReader<u8>>) -> String {
        let mut bytes = Vec::new();
        while let Some(chunk) = chunks.next().await {
            bytes.extend(chunk.collect().await);
        }
        String::from_utf8_lossy(&bytes).into_owned()
    }

    async fn promise(count: u32) -> FutureReader<StreamReader<u32>> {
        let (writer, promise) = wit_future::new(|| wit_stream::new().1);
        wit_bindgen::spawn_local(async move {
            sleep_ms(1).await;
            let (mut numbers, reader) = wit_stream::new();
            let _ = writer.write(reader).await;
            numbers.write_all((0..count).collect()).await;
        });
        promise
    }

    async fn pages(count: u32, how: String) -> StreamReader<Page> {
        let (mut writer, pages) = wit_stream::new();
        wit_bindgen::spawn_local(async move {
            for number in 0..count {
                let (mut rows_writer, rows) = wit_stream::new();
                let (end, ended) = wit_future::new(|| Err(Failure::NotFound));
                let mark = number.is_multiple_of(2).then(|| Cursor::new(Counter::new(number)));
                let page = Page {
                    number,
                    rows,
                    ended,
                    mark,
                };
                if writer.write_one(page).await.is_some() {
                    break;
                }
                for row in 0..number {
                    rows_writer.write_one(row).await;
                    if number == count / 2 {
                        fail(&how).await;
                    }
                }
                drop(rows_writer);
                let _ = end.write(Ok(number)).await;
            }
        });
        pages
    }

    async fn made() -> u32 {
        MADE.get()
    }

    async fn fail_text(how: String) -> Result<u32, String> {
        Ok(fail(&how).await)
    }

    async fn fail_case(how: String) -> Result<u32, Failure> {
        Ok(fail(&how).await)
    }

    async fn fail_name(how: String) -> Result<u32, Trouble> {
        Ok(fail(&how).await)
    }

    async fn fail_bare(how: String) -> Result<(), ()> {
        fail(&how).await;
        Ok(())
    }

    async fn fail_plain(how: String) -> u32 {
        fail(&how).await
    }
}

fn row(number: u32) -> Entry {
    Entry {
        key: format!("row {number}"),
        value: number.to_le_bytes().to_vec(),
        tags: vec!["x".repeat(number as usize % 7); 2],
    }
}

async fn fail(how: &str) -> u32 {
    sleep_ms(1).await;
    match how {
        "trap" => panic!("this was asked for"),
        "loop" => loop {
            std::hint::black_box(());
        },
        "memory" => std::hint::black_box(vec![1u8; 2 << 30]).len() as u32,
        _ => 7,
    }
}

impl exports::acme::store::watch::Guest for Store {
    fn place(of: CursorBorrow<'_>) -> u32 {
        of.get::<Counter>().at()
    }
}

export!(Store);
