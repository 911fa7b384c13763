//! Chromium, by WebDriver (<https://www.w3.org/TR/webdriver2/>), of which this speaks as much as the tests need.

use std::io::{self, BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use wharf_tests::http::Connection;
use wharf_tests::{Scratch, installed};

/// A browser is larger than everything else here together: tests take turns.
static TURN: Mutex<()> = Mutex::new(());

/// Starting a browser beside other tests takes its time.
const START_DEADLINE: Duration = Duration::from_secs(120);

/// How long a page may take for anything.
const PAGE_DEADLINE: Duration = Duration::from_secs(60);

/// How the browser is started. It shows nothing, asks nobody, and reaches this machine alone.
const FLAGS: [&str; 9] = [
    "--headless=new",
    // Its own sandbox cannot be had by the superuser, nor in many containers.
    "--no-sandbox",
    "--disable-dev-shm-usage",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
];

/// The name by which WebDriver refers to elements (section 12.2).
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// A browser with a fresh profile. It ends when this value is dropped.
pub struct Browser {
    driver: Child,
    addr: SocketAddr,
    session: String,
    profile: Scratch,
    _turn: MutexGuard<'static, ()>,
}

impl Browser {
    /// Starts one; `None` where there is none to be had.
    ///
    /// # Panics
    ///
    /// When it does not start.
    pub fn start() -> Option<Self> {
        let (program, chromium) = (installed("chromedriver")?, installed("chromium")?);
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let profile = Scratch::new();
        let mut driver = Command::new(program)
            .arg("--port=0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromedriver can be started");
        let port = port(&mut driver);
        let mut browser = Self {
            driver,
            addr: (Ipv4Addr::LOCALHOST, port).into(),
            session: String::new(),
            profile,
            _turn: turn,
        };
        let mut flags = FLAGS.map(str::to_owned).to_vec();
        flags.push(format!("--user-data-dir={}", browser.profile.display()));
        let options = json!({ "binary": chromium, "args": flags });
        let capabilities = json!({ "alwaysMatch": { "goog:chromeOptions": options } });
        let session = browser.call("POST", "/session", &json!({ "capabilities": capabilities }));
        browser.session = text(&session["sessionId"]);
        Some(browser)
    }

    /// Opens `url` in a new tab.
    pub fn open(&self, url: &str) -> Tab<'_> {
        let tab = self.ask("POST", "/window/new", &json!({ "type": "tab" }));
        let tab = Tab {
            browser: self,
            handle: text(&tab["handle"]),
        };
        tab.ask("POST", "/url", &json!({ "url": url }));
        tab
    }

    fn ask(&self, method: &str, path: &str, content: &Value) -> Value {
        self.call(method, &format!("/session/{}{path}", self.session), content)
    }

    fn call(&self, method: &str, path: &str, content: &Value) -> Value {
        let answer = self.try_call(method, path, content);
        let (status, answer) = answer.unwrap_or_else(|error| panic!("{method} {path}: {error}"));
        assert_eq!(status, 200, "{method} {path} {content}: {answer}");
        answer["value"].clone()
    }

    fn try_call(&self, method: &str, path: &str, content: &Value) -> io::Result<(u16, Value)> {
        let content = if method == "POST" {
            content.to_string()
        } else {
            String::new()
        };
        let mut connection = Connection::from(TcpStream::connect(self.addr)?);
        connection.stream().set_read_timeout(Some(START_DEADLINE))?;
        let (addr, length) = (self.addr, content.len());
        let head = format!("{method} {path} HTTP/1.1\r\nhost: {addr}\r\nconnection: close\r\ncontent-length: {length}");
        connection.try_send(format!("{head}\r\n\r\n{content}"))?;
        let reply = connection.try_reply()?;
        Ok((reply.status, serde_json::from_slice(&reply.body)?))
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The browser is the driver's child, and would go on without it.
        let _ = self.try_call("DELETE", &format!("/session/{}", self.session), &Value::Null);
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

/// A page in a browser.
pub struct Tab<'browser> {
    browser: &'browser Browser,
    handle: String,
}

impl Tab<'_> {
    /// The text of the first element that `selector` matches.
    pub fn text(&self, selector: &str) -> String {
        text(&self.run(&format!(
            "return document.querySelector({}).textContent",
            json!(selector)
        )))
    }

    /// The number that is the text of an element.
    pub fn number(&self, selector: &str) -> u64 {
        let text = self.text(selector);
        text.parse().unwrap_or_else(|_| panic!("{selector} is {text:?}"))
    }

    /// Clicks on an element, as a pointer does: it must be there and in sight.
    pub fn click(&self, selector: &str) {
        let element = self.element(selector);
        self.ask("POST", &format!("/element/{element}/click"), &json!({}));
    }

    /// Writes into a field, as a keyboard does. `\u{e007}` is the key Enter (section 15.3.4 of WebDriver).
    pub fn write(&self, selector: &str, keys: &str) {
        let element = self.element(selector);
        self.ask("POST", &format!("/element/{element}/value"), &json!({ "text": keys }));
    }

    /// What a script returns.
    pub fn run(&self, script: &str) -> Value {
        self.ask("POST", "/execute/sync", &json!({ "script": script, "args": [] }))
    }

    /// Waits until a script's expression is true.
    ///
    /// # Panics
    ///
    /// When it does not become true; shows what stands on the page.
    pub fn until(&self, expression: &str) {
        let began = Instant::now();
        while self.run(&format!("return {expression}")) != Value::Bool(true) {
            if began.elapsed() > PAGE_DEADLINE {
                let page = text(&self.run("return document.body.innerText"));
                panic!("waited {PAGE_DEADLINE:?} for {expression} on the page:\n{page}");
            }
            thread::sleep(Duration::from_millis(20));
        }
    }

    pub fn reload(&self) {
        self.ask("POST", "/refresh", &json!({}));
    }

    pub fn close(self) {
        self.ask("DELETE", "/window", &Value::Null);
    }

    fn element(&self, selector: &str) -> String {
        let found = json!({ "using": "css selector", "value": selector });
        text(&self.ask("POST", "/element", &found)[ELEMENT])
    }

    fn ask(&self, method: &str, path: &str, content: &Value) -> Value {
        self.browser.ask("POST", "/window", &json!({ "handle": self.handle }));
        self.browser.ask(method, path, content)
    }
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// The port that a driver says it has; what else it says is read and dropped.
fn port(driver: &mut Child) -> u16 {
    let said = driver.stdout.take().expect("its output is piped");
    let mut lines = BufReader::new(said).lines().map_while(Result::ok);
    let port = lines.find_map(|line| {
        let (_, port) = line.split_once("started successfully on port ")?;
        port.trim_end_matches('.').parse().ok()
    });
    thread::spawn(move || lines.for_each(drop));
    port.expect("chromedriver says on which port it listens")
}
