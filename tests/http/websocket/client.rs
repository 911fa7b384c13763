//! Connections that guests open (`wharf:websocket/client`), and clients of others'.
