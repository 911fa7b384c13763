//! `wasi:config`: values from the manifest, under both names, and secrets that change.

use wharf_tests::Scratch;

use crate::stores::Stores;

const SECTION: &str = "[config]\ngreeting = \"good day\"\n\"a.b\" = \"\"\ntoken = { file = \"token\" }\n";

#[test]
fn values() {
    for guest in ["config", "config-draft"] {
        let folder = Scratch::new();
        folder.write("token", "first\n");
        let stores = Stores::serve_in(folder, guest, SECTION);
        assert_eq!(stores.get("/?key=greeting"), "Ok(Some(\"good day\"))", "{guest}");
        assert_eq!(stores.get("/?key=a.b"), "Ok(Some(\"\"))", "{guest}");
        assert_eq!(stores.get("/?key=other"), "Ok(None)", "{guest}");
        let all = "Ok([(\"a.b\", \"\"), (\"greeting\", \"good day\"), (\"token\", \"first\")])";
        assert_eq!(stores.get("/"), all, "{guest}");
        // A new value is there at once: nothing is made anew for it.
        stores.folder.write("token", "second\n");
        assert_eq!(stores.get("/?key=token"), "Ok(Some(\"second\"))", "{guest}");
        std::fs::remove_file(stores.folder.join("token")).expect("it is there");
        let unreadable = "Err(Error::Io(\"the value of token cannot be read\"))";
        assert_eq!(stores.get("/?key=token"), unreadable, "{guest}");
        assert_eq!(stores.get("/?key=greeting"), "Ok(Some(\"good day\"))", "{guest}");
        stores.server.says("a secret cannot be read");
        let log = stores.server.log();
        assert!(
            log.contains("a secret cannot be read") && log.contains("key=\"token\""),
            "{log}"
        );
        assert!(!log.contains("first") && !log.contains("second"), "{log}");
    }
}
