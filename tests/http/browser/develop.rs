//! `wharf dev` as a browser sees it: open pages show what is new by themselves, and what does not build.

use wharf_tests::{Scratch, Server, guest, wharf};

use super::driver::Browser;

/// The text in front of a page whose app does not build.
const IN_FRONT: &str = "document.querySelector('#wharf-dev-error')?.textContent.includes('source:1: error <b>')";

/// The same on the page that stands in the app's place.
const IN_PLACE: &str = "document.querySelector('pre[data-wharf-dev]')?.textContent.includes('source:1: error <b>')";

#[test]
fn open_pages_show_what_is_new() {
    let Some(browser) = Browser::start() else { return };
    let scratch = Scratch::new();
    let build = "case $(cat source) in error*) echo \"source:1: $(cat source)\" >&2; exit 1;; esac; \
                 cp \"$GUEST\" \"$WHARF_COMPONENT\"";
    let manifest = format!(
        "name = 'shop'\ncomponent = 'shop.wasm'\nroutes = [{{ path = '/api' }}, {{ path = '/', files = 'public' }}]\n\
         [build]\ncommand = ['sh', '-c', '''{build}''']\n"
    );
    scratch.write("wharf.toml", manifest);
    scratch.write("source", "good");
    let page = |text: &str| drop(scratch.write("public/index.html", format!("<!doctype html><p>{text}</p>\n")));
    page("first");
    let mut command = wharf();
    command.args(["dev", "--addr", "127.0.0.1:0"]).arg(scratch.path());
    let server = Server::spawn({
        command.env("GUEST", guest("http-hello"));
        command
    });

    let tab = browser.open(&server.url("/"));
    tab.until("document.querySelector('p')?.textContent === 'first'");
    page("second");
    tab.until("document.querySelector('p')?.textContent === 'second'");

    scratch.write("source", "error <b>");
    tab.until(IN_FRONT);
    assert_eq!(tab.run("return document.querySelector('p').textContent"), "second");
    let late = browser.open(&server.url("/"));
    late.until(IN_PLACE);

    scratch.write("source", "good again");
    tab.until("document.querySelector('#wharf-dev-error') === null");
    late.until("document.querySelector('p')?.textContent === 'second'");
    page("third");
    for tab in [&tab, &late] {
        tab.until("document.querySelector('p')?.textContent === 'third'");
    }
}
