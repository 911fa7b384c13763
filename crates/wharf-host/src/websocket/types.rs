//! The types of `wharf:websocket/types`.

use bytes::Bytes;
use wasmtime::component::{ComponentType, Lift, Lower};

/// One whole message.
#[derive(Clone, Debug, PartialEq, Eq, ComponentType, Lift, Lower)]
#[component(variant)]
pub enum Message {
    /// Text.
    #[component(name = "text")]
    Text(String),
    /// Bytes.
    #[component(name = "binary")]
    Binary(Bytes),
}

/// How a connection ends.
#[derive(Clone, Debug, PartialEq, Eq, ComponentType, Lift, Lower)]
#[component(record)]
pub struct CloseInfo {
    /// RFC 6455 section 7.4.
    pub code: u16,
    /// For people.
    pub reason: String,
}

impl Message {
    /// How many bytes it has.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Binary(bytes) => bytes.len(),
        }
    }
}

impl CloseInfo {
    /// The ordinary end.
    pub const NORMAL: u16 = 1000;
    /// The peer closed and gave no code.
    pub const NO_CODE: u16 = 1005;
    /// The connection was lost.
    pub const LOST: u16 = 1006;

    /// A code and its reason.
    pub fn new(code: u16, reason: impl Into<String>) -> Self {
        Self {
            code,
            reason: reason.into(),
        }
    }
}
