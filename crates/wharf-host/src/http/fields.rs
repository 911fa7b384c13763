//! The `fields` resource: headers and trailers.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use wasmtime::component::Resource;

use super::bindings::wasi::http::types::{HeaderError, HostFields};
use crate::limits::Ledger;
use crate::state::InstanceState;

/// Headers that describe the connection rather than the message (RFC 9110 section 7.6.1), or that the host sets
/// itself. Guests neither see nor set them; the same list as Wasmtime's.
const FORBIDDEN: [HeaderName; 9] = [
    header::CONNECTION,
    header::HOST,
    HeaderName::from_static("http2-settings"),
    HeaderName::from_static("keep-alive"),
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    HeaderName::from_static("proxy-connection"),
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// What a field costs beyond its bytes, as in HPACK (RFC 7541 section 4.1): bounds many tiny fields too.
const FIELD_OVERHEAD_BYTES: usize = 32;

/// Headers or trailers, shared until somebody changes them.
#[derive(Clone, Debug)]
pub struct Fields {
    map: Arc<HeaderMap>,
    mutable: bool,
    charge: Option<Arc<Charge>>,
}

/// What fields that a guest built take of the host's memory.
#[derive(Debug)]
struct Charge {
    bytes: AtomicUsize,
    ledger: Arc<Ledger>,
}

impl Charge {
    fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    fn set(&self, bytes: usize) {
        let before = self.bytes.swap(bytes, Ordering::Relaxed);
        self.ledger.charge(bytes);
        self.ledger.credit(before);
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.ledger.credit(self.bytes());
    }
}

impl Fields {
    fn new(map: HeaderMap, ledger: &Arc<Ledger>) -> Self {
        let charge = Charge {
            bytes: AtomicUsize::new(0),
            ledger: ledger.clone(),
        };
        charge.set(map.iter().map(|(name, value)| field_bytes(name, value)).sum());
        Self {
            map: Arc::new(map),
            mutable: true,
            charge: Some(Arc::new(charge)),
        }
    }

    /// What came over the wire, without what concerns only the connection.
    pub(crate) fn received(mut map: HeaderMap) -> Self {
        for name in &FORBIDDEN {
            map.remove(name);
        }
        // The size was the server's or client's to limit while it read; it is not counted again.
        Self {
            map: Arc::new(map),
            mutable: false,
            charge: None,
        }
    }

    pub(crate) fn map(&self) -> &HeaderMap {
        &self.map
    }

    pub(crate) fn into_map(self) -> HeaderMap {
        Arc::unwrap_or_clone(self.map)
    }

    /// The same fields as they are seen once they belong to a message.
    pub(crate) fn frozen(mut self) -> Self {
        self.mutable = false;
        self
    }

    /// The fields to be changed, and what they are charged with; nobody else has them.
    fn edit(&mut self) -> Result<(&mut HeaderMap, &Charge), HeaderError> {
        match &self.charge {
            Some(charge) if self.mutable => Ok((Arc::make_mut(&mut self.map), charge)),
            _ => Err(HeaderError::Immutable),
        }
    }

    fn append(&mut self, name: &str, value: Vec<u8>, bytes_max: usize) -> Result<(), HeaderError> {
        let (name, value) = (settable(name)?, value_of(value)?);
        let (map, charge) = self.edit()?;
        let more = field_bytes(&name, &value);
        if charge.bytes().saturating_add(more) > bytes_max || charge.ledger.refuses(more) {
            return Err(HeaderError::SizeExceeded);
        }
        map.try_append(name, value).map_err(|_| HeaderError::SizeExceeded)?;
        charge.set(charge.bytes() + more);
        Ok(())
    }

    fn remove(&mut self, name: &HeaderName) -> Result<Vec<Vec<u8>>, HeaderError> {
        let (map, charge) = self.edit()?;
        let mut removed = Vec::new();
        if let header::Entry::Occupied(entry) = map.entry(name) {
            removed.extend(entry.remove_entry_mult().1.map(|value| value.as_bytes().to_vec()));
        }
        let bytes: usize = removed
            .iter()
            .map(|value| name.as_str().len() + value.len() + FIELD_OVERHEAD_BYTES)
            .sum();
        charge.set(charge.bytes().saturating_sub(bytes));
        Ok(removed)
    }
}

fn field_bytes(name: &HeaderName, value: &HeaderValue) -> usize {
    name.as_str().len() + value.len() + FIELD_OVERHEAD_BYTES
}

fn name_of(name: &str) -> Result<HeaderName, HeaderError> {
    // RFC 9110 section 5.6.2 has no quotation mark among the characters of a token; the http crate lets it pass.
    if name.contains('"') {
        return Err(HeaderError::InvalidSyntax);
    }
    HeaderName::from_bytes(name.as_bytes()).map_err(|_| HeaderError::InvalidSyntax)
}

fn settable(name: &str) -> Result<HeaderName, HeaderError> {
    let name = name_of(name)?;
    if FORBIDDEN.contains(&name) {
        Err(HeaderError::Forbidden)
    } else {
        Ok(name)
    }
}

fn value_of(value: Vec<u8>) -> Result<HeaderValue, HeaderError> {
    HeaderValue::try_from(value).map_err(|_| HeaderError::InvalidSyntax)
}

type Outcome<T> = wasmtime::Result<Result<T, HeaderError>>;

impl HostFields for InstanceState {
    fn new(&mut self) -> wasmtime::Result<Resource<Fields>> {
        let fields = Fields::new(HeaderMap::new(), &self.http.ledger);
        Ok(self.table.push(fields)?)
    }

    fn from_list(&mut self, entries: Vec<(String, Vec<u8>)>) -> Outcome<Resource<Fields>> {
        let mut fields = Fields::new(HeaderMap::with_capacity(entries.len().min(64)), &self.http.ledger);
        for (name, value) in entries {
            if let Err(error) = fields.append(&name, value, self.http.fields_bytes_max) {
                return Ok(Err(error));
            }
        }
        Ok(Ok(self.table.push(fields)?))
    }

    fn get(&mut self, fields: Resource<Fields>, name: String) -> wasmtime::Result<Vec<Vec<u8>>> {
        let fields = self.table.get(&fields)?;
        Ok(match name_of(&name) {
            Ok(name) => fields
                .map
                .get_all(name)
                .iter()
                .map(|value| value.as_bytes().to_vec())
                .collect(),
            Err(_) => Vec::new(),
        })
    }

    fn has(&mut self, fields: Resource<Fields>, name: String) -> wasmtime::Result<bool> {
        let fields = self.table.get(&fields)?;
        Ok(name_of(&name).is_ok_and(|name| fields.map.contains_key(name)))
    }

    fn set(&mut self, fields: Resource<Fields>, name: String, values: Vec<Vec<u8>>) -> Outcome<()> {
        let bytes_max = self.http.fields_bytes_max;
        let fields = self.table.get_mut(&fields)?;
        if !fields.mutable {
            return Ok(settable(&name).and(Err(HeaderError::Immutable)));
        }
        // On a copy, so that a refused value leaves the fields as they were.
        let mut changed = Fields::new(HeaderMap::clone(&fields.map), &self.http.ledger);
        let result = settable(&name).and_then(|known| changed.remove(&known)).and_then(|_| {
            values
                .into_iter()
                .try_for_each(|value| changed.append(&name, value, bytes_max))
        });
        if result.is_ok() {
            *fields = changed;
        }
        Ok(result)
    }

    fn delete(&mut self, fields: Resource<Fields>, name: String) -> Outcome<()> {
        let fields = self.table.get_mut(&fields)?;
        Ok(name_of(&name).and_then(|name| fields.remove(&name)).map(|_| ()))
    }

    fn get_and_delete(&mut self, fields: Resource<Fields>, name: String) -> Outcome<Vec<Vec<u8>>> {
        let fields = self.table.get_mut(&fields)?;
        Ok(name_of(&name).and_then(|name| fields.remove(&name)))
    }

    fn append(&mut self, fields: Resource<Fields>, name: String, value: Vec<u8>) -> Outcome<()> {
        let bytes_max = self.http.fields_bytes_max;
        Ok(self.table.get_mut(&fields)?.append(&name, value, bytes_max))
    }

    fn copy_all(&mut self, fields: Resource<Fields>) -> wasmtime::Result<Vec<(String, Vec<u8>)>> {
        let fields = self.table.get(&fields)?;
        Ok(fields
            .map
            .iter()
            .map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec()))
            .collect())
    }

    fn clone(&mut self, fields: Resource<Fields>) -> wasmtime::Result<Resource<Fields>> {
        let fields = self.table.get(&fields)?;
        let copy = Fields::new(HeaderMap::clone(&fields.map), &self.http.ledger);
        if self.http.ledger.refuses(0) {
            // The interface leaves no other way to say it.
            return Err(wasmtime::format_err!(
                "the fields that this instance holds exceed its memory's limit"
            ));
        }
        Ok(self.table.push(copy)?)
    }

    fn drop(&mut self, fields: Resource<Fields>) -> wasmtime::Result<()> {
        self.table.delete(fields)?;
        Ok(())
    }
}
