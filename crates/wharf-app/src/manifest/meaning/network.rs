//! What a server's listeners and its trusted proxies mean.

use std::net::IpAddr;
use std::ops::Range;
use std::path::PathBuf;

use ipnet::{IpNet, Ipv4Net};

use super::Meaning;
use super::server::LISTEN;
use crate::app::{Forwarded, ListenAddress, Listener, Redirect, TrustedProxies};
use crate::manifest::field::At;
use crate::manifest::value::{self, ListenText};
use crate::manifest::written;

/// What a socket's file can be permitted: reading means nothing for it, and nobody runs it.
const MODE_MAX: u32 = 0o777;

impl Meaning<'_> {
    /// Where the server listens: what is written short, then what is written long.
    pub(super) fn listeners(&mut self, written: &written::Server) -> Vec<Listener> {
        let mut listeners = Vec::new();
        let mut taken: Vec<ListenAddress> = Vec::new();
        if let Some(short) = &written.listen {
            let texts = short.texts();
            if texts.is_empty() {
                self.problem(short.span(), "a server listens somewhere").help =
                    Some(format!("leave `listen` out for {LISTEN}"));
            }
            for (text, span) in texts {
                if let Some(address) = self.listen_address("listen", text, span, &mut taken) {
                    listeners.push(Listener::plain(address));
                }
            }
        }
        for long in &written.listeners {
            let address = self.listen_address("address", &long.address, long.address.span(), &mut taken);
            if let Some(listener) = self.listener(long, address, written) {
                listeners.push(listener);
            }
        }
        if written.listen.is_none() && written.listeners.is_empty() {
            listeners.push(Listener::plain(ListenAddress::Tcp(LISTEN.to_owned())));
        }
        listeners
    }

    fn listen_address(
        &mut self,
        key: &str,
        text: &str,
        span: Range<usize>,
        taken: &mut Vec<ListenAddress>,
    ) -> Option<ListenAddress> {
        let address = match self.understood(key, span.clone(), value::listen(text))? {
            ListenText::Tcp => ListenAddress::Tcp(text.to_owned()),
            ListenText::Systemd(name) => ListenAddress::Systemd(name.to_owned()),
            ListenText::Unix(path) => {
                let path: PathBuf = self.path_of(path, span.clone());
                self.socket_fits(key, &path, span.clone());
                ListenAddress::Unix(path)
            }
        };
        // Any number of listeners may have a free port.
        let is_free = matches!(&address, ListenAddress::Tcp(address) if address.ends_with(":0"));
        if taken.contains(&address) && !is_free {
            self.problem(span, format!("the server listens at {address} already"))
                .help = Some("write each address once, in `listen` or in `[[server.listeners]]`".to_owned());
        }
        taken.push(address.clone());
        Some(address)
    }

    fn listener(
        &mut self,
        written: &At<written::Listener>,
        address: Option<ListenAddress>,
        server: &written::Server,
    ) -> Option<Listener> {
        let is = |flag: &Option<At<bool>>| flag.as_deref().copied().unwrap_or(false);
        let (tls, proxy_protocol) = (is(&written.tls), is(&written.proxy_protocol));
        if let Some(flag) = written.proxy_protocol.as_ref().filter(|_| proxy_protocol)
            && server.trusted_proxies.as_ref().is_none_or(|proxies| proxies.is_empty())
        {
            self.problem(
                flag.span(),
                "nobody may speak the PROXY protocol here: no proxy is trusted",
            )
            .help = Some("name them: `trusted-proxies = [\"10.0.0.0/8\"]` in `[server]`".to_owned());
        }
        if let Some(flag) = written.tls.as_ref().filter(|_| tls)
            && server.tls.is_none()
            && server.acme.is_none()
        {
            self.problem(flag.span(), "there is no certificate for TLS").help =
                Some("name one in `[[server.tls.certificates]]`, or have them ordered with `[server.acme]`".to_owned());
        }
        let redirect = self.redirect(written, server);
        let mode = self.mode(written, address.as_ref());
        Some(Listener {
            address: address?,
            tls,
            proxy_protocol,
            redirect,
            mode,
        })
    }

    fn redirect(&mut self, written: &At<written::Listener>, server: &written::Server) -> Option<Redirect> {
        let asked = written.redirect_to_https.as_ref().filter(|flag| ***flag);
        let Some(asked) = asked else {
            if let Some(port) = &written.https_port {
                self.problem(
                    port.span(),
                    "`https-port` says where `redirect-to-https` leads, which is not asked for",
                )
                .help = Some("write `redirect-to-https = true`, or leave `https-port` out".to_owned());
            }
            return None;
        };
        if written.tls.as_deref() == Some(&true) {
            self.problem(
                asked.span(),
                "clients are at https here already: there is nothing to redirect",
            )
            .help = Some("leave `redirect-to-https` out, or `tls`".to_owned());
            return None;
        }
        if let Some(port) = &written.https_port {
            if **port == 0 {
                self.problem(port.span(), "`https-port` is a number from 1 to 65535");
            }
            return Some(Redirect::ToPort(**port));
        }
        let has_port = |listener: &At<written::Listener>| {
            listener.tls.as_deref() == Some(&true) && !listener.address.starts_with("unix:")
        };
        if !server.listeners.iter().any(has_port) {
            self.problem(asked.span(), "no listener with TLS has a port to redirect to")
                .help = Some("add one with `tls = true`, or say the port with `https-port`".to_owned());
        }
        Some(Redirect::ToTls)
    }

    fn mode(&mut self, written: &At<written::Listener>, address: Option<&ListenAddress>) -> u32 {
        let Some(mode) = &written.mode else {
            return Listener::MODE;
        };
        if address.is_some_and(|address| !matches!(address, ListenAddress::Unix(_))) {
            self.problem(mode.span(), "`mode` is for sockets in files, and there is none here")
                .help = Some("leave it out, or listen at `unix:PATH`".to_owned());
        }
        let is_octal = !mode.is_empty() && mode.bytes().all(|digit| (b'0'..=b'7').contains(&digit));
        match u32::from_str_radix(mode, 8) {
            Ok(permissions) if is_octal && permissions <= MODE_MAX => permissions,
            _ => {
                self.problem(mode.span(), "`mode` is three octal digits, such as \"660\" or \"666\"");
                Listener::MODE
            }
        }
    }

    pub(super) fn trusted_proxies(&mut self, written: &written::Server) -> TrustedProxies {
        let mut trusted = TrustedProxies::default();
        for proxy in written.trusted_proxies.iter().flat_map(|proxies| proxies.iter()) {
            match proxy.as_str() {
                "unix" => trusted.unix = true,
                text => match network(text) {
                    Ok(network) => trusted.networks.push(network),
                    Err(help) => {
                        let message = format!("`{text}` is neither an address nor a network");
                        self.problem(proxy.span(), message).help = Some(help);
                    }
                },
            }
        }
        trusted
    }

    pub(super) fn forwarded(&mut self, written: &written::Server) -> Forwarded {
        match written.forwarded.as_deref() {
            None | Some(written::Forwarded::XForwarded) => Forwarded::Custom,
            Some(written::Forwarded::Forwarded) => Forwarded::Standard,
            Some(written::Forwarded::None) => Forwarded::None,
        }
    }

    pub(super) fn forwarded_host(&mut self, written: &written::Server, fields: Forwarded) -> bool {
        let Some(believed) = written.forwarded_host.as_ref().filter(|flag| ***flag) else {
            return false;
        };
        if fields == Forwarded::None {
            let reason = "`forwarded = \"none\"` believes nobody, and so not which host was asked";
            self.nobody_says(believed.span(), reason, "forwarded-host");
        } else if trusts_nobody(written) {
            let reason = "no proxy is trusted to say which host was asked";
            self.nobody_says(believed.span(), reason, "forwarded-host");
        }
        true
    }

    /// Whatever `forwarded` is: these fields are of another kind.
    pub(super) fn forwarded_client_cert(&mut self, written: &written::Server) -> bool {
        let Some(believed) = written.forwarded_client_cert.as_ref().filter(|flag| ***flag) else {
            return false;
        };
        if trusts_nobody(written) {
            let reason = "no proxy is trusted to say which certificate a client has shown";
            self.nobody_says(believed.span(), reason, "forwarded-client-cert");
        }
        true
    }

    fn nobody_says(&mut self, span: Range<usize>, reason: &str, key: &str) {
        let help = format!("name the proxies in `trusted-proxies`, or leave `{key}` out");
        self.problem(span, reason).help = Some(help);
    }
}

fn trusts_nobody(written: &written::Server) -> bool {
    let trusted = written.trusted_proxies.as_ref();
    trusted.is_none_or(|proxies| proxies.is_empty())
}

/// An address or a network, or what to do instead.
fn network(text: &str) -> Result<IpNet, String> {
    let written = match text.parse::<IpAddr>() {
        Ok(address) => IpNet::from(address.to_canonical()),
        Err(_) => text.parse::<IpNet>().map_err(|_| {
            "write an address such as 10.0.0.1 or ::1, a network such as 10.0.0.0/8, or `unix` for whoever connects to a \
             Unix socket"
                .to_owned()
        })?,
    };
    let network = canonical(written);
    match network.trunc() == network {
        true => Ok(network),
        // A slip of one bit trusts half of the internet.
        false => Err(format!("the network of that length is {}", network.trunc())),
    }
}

/// Clients' IPv4 addresses are compared as such.
fn canonical(network: IpNet) -> IpNet {
    let (IpNet::V6(v6), IpAddr::V4(v4)) = (network, network.addr().to_canonical()) else {
        return network;
    };
    let bits = v6.prefix_len().checked_sub(96);
    bits.and_then(|bits| Ipv4Net::new(v4, bits).ok())
        .map_or(network, IpNet::V4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks() {
        for (text, expected) in [
            ("10.0.0.1", "10.0.0.1/32"),
            ("10.0.0.0/8", "10.0.0.0/8"),
            ("::1", "::1/128"),
            ("2001:db8::/32", "2001:db8::/32"),
            ("::ffff:10.0.0.1", "10.0.0.1/32"),
            ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
            ("0.0.0.0/0", "0.0.0.0/0"),
            ("::/0", "::/0"),
        ] {
            assert_eq!(
                network(text).map(|network| network.to_string()),
                Ok(expected.to_owned()),
                "{text}"
            );
        }
        for (text, help) in [
            ("10.0.0.1/8", "is 10.0.0.0/8"),
            ("10.0.0.0/33", "write an address"),
            ("proxy.test", "write an address"),
            ("", "write an address"),
            ("10.0.0.1:80", "write an address"),
        ] {
            assert!(network(text).is_err_and(|said| said.contains(help)), "{text}");
        }
    }
}
