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
    Cursor, CursorBorrow, Entry, Failure, Guest, GuestCursor, Modes, Odd, Trouble, Wide,
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
