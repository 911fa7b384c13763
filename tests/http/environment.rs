//! What a service sees of the machine: environment, standard streams, files.

use wharf_tests::http::get;
use wharf_tests::{Scratch, Server, eventually};

use crate::axes::Isolation;

/// The environment is what `--env` says, and nothing of the operator's own.
#[test]
fn environment_and_streams() {
    let cases: [(&[&str], &[&str]); 3] = [
        (&[], &[]),
        (&["--env", "A=1"], &["env A=1"]),
        (
            &["--env", "A=1", "--env", "EMPTY=", "--env", "B=x=y z"],
            &["env A=1", "env B=x=y z", "env EMPTY="],
        ),
    ];
    for isolation in Isolation::ALL {
        for (flags, expected) in cases {
            let server = isolation.serve("http-env", flags);
            let text = get(server.addr(), "/").text();
            let variables: Vec<_> = text.lines().filter(|line| line.starts_with("env ")).collect();
            assert_eq!(variables, expected, "{isolation:?} {flags:?}");
            assert!(
                text.contains("stdin 0 bytes\nstdout Ok(())\nstderr Ok(())\n"),
                "{isolation:?}: {text}"
            );
            eventually(
                || server.stdout().contains("a line on stdout\n"),
                "the guest's line on stdout",
            );
            server.says("a line on stderr\n");
        }
    }
}

/// Files are where `--dir` and `--dir-ro` put them, and nowhere without.
#[test]
fn files() {
    let folder = Scratch::new();
    folder.write("greeting.txt", "from outside");
    folder.write("sub/deep.txt", "from below");
    let host = folder.path().display();
    let writable = format!("{host}::/data");
    let read_only = format!("{host}::data-ro");
    for isolation in Isolation::ALL {
        let server = isolation.serve("http-files", &["--dir", &writable]);
        assert_eq!(get(server.addr(), "/").text(), "/data\n", "{isolation:?}");
        for _ in 0..3 {
            assert_eq!(
                get(server.addr(), "/?path=greeting.txt").text(),
                "from outside",
                "{isolation:?}"
            );
        }
        assert_eq!(
            get(server.addr(), "/?path=sub/deep.txt").text(),
            "from below",
            "{isolation:?}"
        );
        let name = format!("{isolation:?}.txt");
        assert_eq!(
            get(server.addr(), &format!("/?path={name}&write=new")).text(),
            "written",
            "{isolation:?}"
        );
        assert_eq!(
            std::fs::read_to_string(folder.join(&name)).expect("it was written"),
            "new",
            "{isolation:?}"
        );
        assert_eq!(get(server.addr(), "/?path=../outside").status, 403, "{isolation:?}");

        let server = isolation.serve("http-files", &["--dir-ro", &read_only]);
        assert_eq!(
            get(server.addr(), "/?path=greeting.txt").text(),
            "from outside",
            "{isolation:?}"
        );
        assert_eq!(
            get(server.addr(), "/?path=refused.txt&write=new").status,
            403,
            "{isolation:?}"
        );
        assert!(!folder.join("refused.txt").exists(), "{isolation:?}");

        let server = isolation.serve("http-files", &[]);
        assert_eq!(get(server.addr(), "/").text(), "", "{isolation:?}");
        assert_eq!(get(server.addr(), "/?path=greeting.txt").status, 404, "{isolation:?}");
    }
}

/// Two folders are two preopens, in their order.
#[test]
fn two_folders() {
    let (first, second) = (Scratch::new(), Scratch::new());
    let (first, second) = (
        format!("{}::/first", first.display()),
        format!("{}::/second", second.display()),
    );
    let server = Server::start("http-files", &["--dir", &first, "--dir-ro", &second]);
    assert_eq!(get(server.addr(), "/").text(), "/first\n/second\n");
}
