//! One of several kinds of connections, read and written as one.

/// Implements tokio's `AsyncRead` and `AsyncWrite` for an enumeration whose kinds each hold one that has them.
macro_rules! reads_and_writes_as {
    ($name:ident { $($(#[$cfg:meta])* $kind:ident),+ $(,)? }) => {
        impl tokio::io::AsyncRead for $name {
            fn poll_read(
                mut self: std::pin::Pin<&mut Self>,
                cx: &mut std::task::Context<'_>,
                buffer: &mut tokio::io::ReadBuf<'_>,
            ) -> std::task::Poll<std::io::Result<()>> {
                match &mut *self {
                    $($(#[$cfg])* Self::$kind(inner) => std::pin::Pin::new(inner).poll_read(cx, buffer),)+
                }
            }
        }

        impl tokio::io::AsyncWrite for $name {
            fn poll_write(
                mut self: std::pin::Pin<&mut Self>,
                cx: &mut std::task::Context<'_>,
                bytes: &[u8],
            ) -> std::task::Poll<std::io::Result<usize>> {
                match &mut *self {
                    $($(#[$cfg])* Self::$kind(inner) => std::pin::Pin::new(inner).poll_write(cx, bytes),)+
                }
            }

            fn is_write_vectored(&self) -> bool {
                match self {
                    $($(#[$cfg])* Self::$kind(inner) => inner.is_write_vectored(),)+
                }
            }

            fn poll_write_vectored(
                mut self: std::pin::Pin<&mut Self>,
                cx: &mut std::task::Context<'_>,
                parts: &[std::io::IoSlice<'_>],
            ) -> std::task::Poll<std::io::Result<usize>> {
                match &mut *self {
                    $($(#[$cfg])* Self::$kind(inner) => std::pin::Pin::new(inner).poll_write_vectored(cx, parts),)+
                }
            }

            fn poll_flush(
                mut self: std::pin::Pin<&mut Self>,
                cx: &mut std::task::Context<'_>,
            ) -> std::task::Poll<std::io::Result<()>> {
                match &mut *self {
                    $($(#[$cfg])* Self::$kind(inner) => std::pin::Pin::new(inner).poll_flush(cx),)+
                }
            }

            fn poll_shutdown(
                mut self: std::pin::Pin<&mut Self>,
                cx: &mut std::task::Context<'_>,
            ) -> std::task::Poll<std::io::Result<()>> {
                match &mut *self {
                    $($(#[$cfg])* Self::$kind(inner) => std::pin::Pin::new(inner).poll_shutdown(cx),)+
                }
            }
        }
    };
}
