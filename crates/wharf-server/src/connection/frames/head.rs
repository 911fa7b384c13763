//! The head of a frame (RFC 9113 section 4.1), and the names of what stands in it.

pub(super) const HEAD_BYTES: usize = 9;

/// As large as a payload may be where nothing else was agreed on (section 6.5.2).
pub(super) const FRAME_BYTES_MAX: usize = 1 << 14;

pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const PRIORITY: u8 = 2;
pub(super) const RST_STREAM: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
pub(super) const PUSH_PROMISE: u8 = 5;
pub(super) const PING: u8 = 6;
pub(super) const GOAWAY: u8 = 7;
pub(super) const WINDOW_UPDATE: u8 = 8;
pub(super) const CONTINUATION: u8 = 9;

pub(super) const END_STREAM: u8 = 1;
pub(super) const ACK: u8 = 1;
pub(super) const END_HEADERS: u8 = 4;
pub(super) const PADDED: u8 = 8;
pub(super) const WITH_PRIORITY: u8 = 0x20;

/// Section 6.3.
pub(super) const PRIORITY_BYTES: usize = 5;

/// The head of a frame.
#[derive(Clone, Copy)]
pub(super) struct Head {
    pub length: usize,
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
}

impl Head {
    pub fn of(bytes: [u8; HEAD_BYTES]) -> Self {
        let [l0, l1, l2, kind, flags, s0, s1, s2, s3] = bytes;
        Self {
            length: u32::from_be_bytes([0, l0, l1, l2]) as usize,
            kind,
            flags,
            stream: u32::from_be_bytes([s0, s1, s2, s3]) & 0x7fff_ffff,
        }
    }

    pub fn to_bytes(self) -> [u8; HEAD_BYTES] {
        let [_, l0, l1, l2] = u32::try_from(self.length).unwrap_or(u32::MAX).to_be_bytes();
        let [s0, s1, s2, s3] = self.stream.to_be_bytes();
        [l0, l1, l2, self.kind, self.flags, s0, s1, s2, s3]
    }

    pub fn has(self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// The library refuses it by its head (section 4.2).
    pub fn is_too_large(self) -> bool {
        self.length > FRAME_BYTES_MAX
    }

    /// Sections 6.3 to 6.9. Frames of a variable length are the library's.
    pub fn has_wrong_size(self) -> bool {
        match self.kind {
            PRIORITY => self.length != PRIORITY_BYTES,
            RST_STREAM | WINDOW_UPDATE => self.length != 4,
            SETTINGS if self.has(ACK) => self.length != 0,
            SETTINGS => !self.length.is_multiple_of(6),
            PING => self.length != 8,
            GOAWAY => self.length < 8,
            _ => false,
        }
    }

    /// Neither content nor fields, nor an answer to what was asked.
    pub fn carries_nothing(self) -> bool {
        match self.kind {
            HEADERS | PUSH_PROMISE | GOAWAY => false,
            DATA => self.length == 0 && !self.has(END_STREAM),
            // Those without a block are counted by the library.
            CONTINUATION => self.length == 0,
            _ => true,
        }
    }
}
