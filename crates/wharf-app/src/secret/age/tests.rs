//! What was written is read, by whom it is for alone, and only as it was written.

use super::*;

/// A key as age 1.1.1 makes it.
const KEY: &str = "AGE-SECRET-KEY-1DRA67Z22ZLMLL7M9SS2HVP6NE08C4DFMDE4ECAGSFJ352D7WELZQ2DHSN0";
const PUBLIC_KEY: &str = "age1v2jfvw4vh7w8ksu97njp8s0f7prf78473l4jv49pqtz00t5jcp8qfqs595";

/// What it wrote for this key and another one.
const FOR_TWO: &str = "\
-----BEGIN AGE ENCRYPTED FILE-----
YWdlLWVuY3J5cHRpb24ub3JnL3YxCi0+IFgyNTUxOSBWeWMzRVJmMHk4a3FoMGR3
YXN1Tk1RcGZObVdveE14NWIxTVRpbklXUGxVClI4RDNVT0xYY0ZqRlZaR2JUcTNT
TmMyVTVXVW84L1lHYzJCUjRjamJSMWcKLT4gWDI1NTE5IG5ZOXczVUprR3U4Wmtl
c29xSGRUTTJsU2ptdGd1S0xvVzFNRk9WSVlBbjgKQWZuRGFBc0d5MHJGUjhwa0xP
U2R3bDlTN2s3SmN2THZibSs3MWx0NGhXNAotLS0gK2pIdGxFZFhpMjFDY0d5V2JO
L21qdHVNTldTTGZuemtKKzdtY3dvSHZKWQoZhhk+WJcp7/UtLPAv3ApBe5G/SM9K
XJJeNFgNKwnb15RCvtooJle5afQ0qkCP7BAZRw==
-----END AGE ENCRYPTED FILE-----
";

/// What it wrote for a key of SSH's and this one.
const FOR_SSH_TOO: &str = "\
-----BEGIN AGE ENCRYPTED FILE-----
YWdlLWVuY3J5cHRpb24ub3JnL3YxCi0+IFgyNTUxOSBiTjZKZHhmclVuTUJ2SmMw
QzdFbVR5SysweU9HTlA2MTZ0S2NhdDRxa1VzCkZrNlpsNXM1aEw3QjhiQzlRdG1E
ZmJqaWk4VUl2bm5kZytGSFp4ZGFlSEUKLT4gc3NoLWVkMjU1MTkgS0lVa1NnIDMz
WUhrZjZZSlA1c1BYcS9WUG51T1Vmb3pxMk8vK1phUXNXbjNxcXdWU0EKbXRObjYv
d2o4MFIvZ3hmT0s4STNKMkVXc1hxMWQ4amVpWmNNVUNoRzN1awotLS0gY1hoY25T
QW9SVDQ4YitvUitIQ3pwU3drTG5zS3paOFJaZzg0Q0dUNXZPcwrGCLXyiOyTFGnf
G3qcmNyVM4wpp4MmVO9KwBPvtKNw21yYoLIx6Pe008Qegl1+ITEPcA==
-----END AGE ENCRYPTED FILE-----
";

fn identity() -> Identity {
    KEY.parse().unwrap()
}

#[test]
fn keys_have_the_form_of_ages() {
    assert_eq!(identity().recipient().to_string(), PUBLIC_KEY);
    assert_eq!(PUBLIC_KEY.parse::<Recipient>(), Ok(identity().recipient()));
    assert_eq!(identity().secret_text(), KEY);
    let new = Identity::new().unwrap();
    assert_ne!(new.secret_text(), KEY);
    let read: Identity = new.secret_text().parse().unwrap();
    assert_eq!(read.recipient(), new.recipient());
}

#[test]
fn what_is_no_key_is_refused() {
    let changed = KEY.replace("DHSN0", "DHSN9");
    for text in [
        "",
        "AGE-SECRET-KEY-1",
        PUBLIC_KEY,
        &KEY.to_lowercase(),
        &changed,
        &KEY[..70],
    ] {
        assert!(text.parse::<Identity>().is_err(), "{text}");
    }
    for text in ["", "age1", KEY, &PUBLIC_KEY.to_uppercase(), &PUBLIC_KEY[..60]] {
        assert!(text.parse::<Recipient>().is_err(), "{text}");
    }
}

#[test]
fn what_age_wrote_is_read() {
    for file in [FOR_TWO, FOR_SSH_TOO, &FOR_TWO.replace('\n', "\r\n")] {
        let content = decrypt(&[Identity::new().unwrap(), identity()], file.as_bytes());
        assert_eq!(content.as_deref(), Ok(&b"token = \"hunter2\"\n"[..]));
        let other = decrypt(&[Identity::new().unwrap()], file.as_bytes());
        assert_eq!(other, Err(AgeError::OtherKey));
    }
}

/// Around the bounds of chunks, too.
#[test]
fn contents_of_every_length() {
    const CHUNK: usize = 64 << 10;
    for length in [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK, 3 * CHUNK + 5] {
        let content: Vec<u8> = (0..length).map(|at| at as u8).collect();
        let file = encrypt(&[identity().recipient()], &content).unwrap();
        assert!(file.is_ascii(), "{length}");
        let read = decrypt(&[identity()], &file).unwrap();
        assert!(read == content, "{length}");
    }
}

#[test]
fn each_recipient_reads() {
    let both = [Identity::new().unwrap(), identity()];
    let file = encrypt(&both.each_ref().map(Identity::recipient), b"content").unwrap();
    for one in both {
        assert_eq!(decrypt(&[one], &file), Ok(b"content".to_vec()));
    }
}

#[test]
fn no_file_is_like_another() {
    let write = || encrypt(&[identity().recipient()], b"content").unwrap();
    assert_ne!(write(), write());
}

/// Whatever bit is another, and wherever it ends.
#[test]
fn a_damaged_file_is_not_read() {
    let armored = encrypt(&[identity().recipient()], b"content").unwrap();
    let file = armor::take_off(&armored).unwrap().into_owned();
    let check = |file: &[u8], what: &str, at: usize| {
        let read = decrypt(&[identity()], file);
        assert!(read.is_err(), "{what} {at}: {read:?}");
    };
    for at in 0..file.len() {
        let mut changed = file.clone();
        changed[at] ^= 1;
        check(&changed, "changed at", at);
        check(&file[..at], "ends at", at);
    }
    check(&[&file[..], b"\0"].concat(), "one byte more", 0);
    // The line at the end may be lost, as white space around is of no account.
    for at in 0..armored.len() - 1 {
        check(&armored[..at], "lines end at", at);
    }
}

#[test]
fn chunks_are_neither_moved_nor_left_out() {
    const SEALED: usize = (64 << 10) + 16;
    let file_key = [7; 16];
    let sealed = payload::seal(&file_key, &vec![1; 3 << 16]).unwrap();
    let (nonce, chunks) = sealed.split_at(16);
    let chunks: Vec<&[u8]> = chunks.chunks(SEALED).collect();
    let check = |order: &[usize], expected: bool| {
        let chunks = order.iter().flat_map(|&nth| chunks[nth]).copied();
        let file: Vec<u8> = nonce.iter().copied().chain(chunks).collect();
        assert_eq!(payload::open(&file_key, &file).is_ok(), expected, "{order:?}");
    };
    check(&[0, 1, 2], true);
    for order in [
        &[][..],
        &[0],
        &[2],
        &[0, 1],
        &[0, 2],
        &[1, 0, 2],
        &[0, 1, 1],
        &[0, 1, 2, 2],
    ] {
        check(order, false);
    }
}

/// A public key whose secret with everybody is nothing.
#[test]
fn who_cannot_keep_a_secret_gets_none() {
    let weak = Recipient(PublicKey::new([0; 32]));
    assert_eq!(encrypt(&[weak], b"content"), Err(AgeError::WeakRecipient));
}

#[test]
fn what_is_wrong_is_said() {
    let check = |file: &[u8], expected: AgeError| assert_eq!(decrypt(&[identity()], file), Err(expected));
    check(b"", AgeError::OtherFormat);
    check(b"TOKEN = \"hunter2\"", AgeError::OtherFormat);
    check(b"age-encryption.org/v2\n", AgeError::OtherFormat);
    check(b"age-encryption.org/v1\n", AgeError::Damaged("its header is not whole"));
    let line = AgeError::Damaged("its header has a line of no known kind");
    check(b"age-encryption.org/v1\nhello\n", line);
    let key = || AgeError::Damaged("its header has a key that is not whole");
    check(b"age-encryption.org/v1\n-> X25519\n\n", key());
    check(b"age-encryption.org/v1\n-> X25519 AAAA\nAAAA\n", key());
    let long = format!("age-encryption.org/v1\n-> ssh AAAA\n{}\n", "A".repeat(65));
    check(
        long.as_bytes(),
        AgeError::Damaged("its header has a line that is too long"),
    );
    let many = format!("age-encryption.org/v1\n{}", "-> other\n\n".repeat(2000));
    check(many.as_bytes(), AgeError::Damaged("its header is for too many keys"));
    let lines = AgeError::Damaged("its lines of text are not whole");
    check(b"-----BEGIN AGE ENCRYPTED FILE-----\nAAAA", lines);
}
