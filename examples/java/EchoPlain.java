// A plain echo server on Java NIO: one thread, one selector, one buffer per client.
//
// Usage:  java EchoPlain.java 127.0.0.1:8080
// Needs:  JDK 17.

import java.io.IOException;
import java.net.InetSocketAddress;
import java.net.StandardSocketOptions;
import java.nio.ByteBuffer;
import java.nio.channels.SelectionKey;
import java.nio.channels.Selector;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

public final class EchoPlain {
    private static final int BACKLOG = 1024;
    private static final int BUFFER_BYTES = 16 * 1024;
    private static final long ACCEPT_PAUSE_MILLIS = 50;

    private final Selector selector = Selector.open();
    private final ServerSocketChannel listener = ServerSocketChannel.open();
    private final SelectionKey listening;

    private EchoPlain(InetSocketAddress address) throws IOException {
        listener.bind(address, BACKLOG).configureBlocking(false);
        listening = listener.register(selector, SelectionKey.OP_ACCEPT);
    }

    public static void main(String[] arguments) throws IOException {
        Pattern form = Pattern.compile("(\\[.+]|[^:]+):([0-9]+)");
        Matcher address = form.matcher(arguments.length == 1 ? arguments[0] : "");
        if (!address.matches()) {
            System.err.println("usage: java EchoPlain.java HOST:PORT");
            System.exit(2);
        }
        int port = Integer.parseInt(address.group(2));
        EchoPlain server = new EchoPlain(new InetSocketAddress(address.group(1), port));
        System.err.println("listening on " + server.listener.getLocalAddress());
        server.serve();
    }

    private void serve() throws IOException {
        while (true) {
            boolean isPaused = listening.interestOps() == 0;
            selector.select(this::onReady, isPaused ? ACCEPT_PAUSE_MILLIS : 0);
            if (isPaused) {
                listening.interestOps(SelectionKey.OP_ACCEPT);
            }
        }
    }

    private void onReady(SelectionKey key) {
        if (key == listening) {
            acceptClients();
        } else {
            echo(key);
        }
    }

    private void acceptClients() {
        try {
            SocketChannel client;
            while ((client = listener.accept()) != null) {
                begin(client);
            }
        } catch (IOException e) {
            // Without a free descriptor, the listener stays ready, and watching it would spin. So
            // it is not watched for a while, and then tried again even if no client arrives.
            System.err.println("accept: " + e.getMessage());
            listening.interestOps(0);
        }
    }

    private void begin(SocketChannel client) {
        try {
            client.configureBlocking(false);
            client.setOption(StandardSocketOptions.TCP_NODELAY, true);
            ByteBuffer pending = ByteBuffer.allocate(BUFFER_BYTES).limit(0);
            client.register(selector, SelectionKey.OP_READ, pending);
        } catch (IOException e) {
            close(client); // The client has already reset it.
        }
    }

    /** Each write comes before the next read: the server stops reading if the client does not. */
    private static void echo(SelectionKey key) {
        SocketChannel client = (SocketChannel) key.channel();
        ByteBuffer pending = (ByteBuffer) key.attachment();
        try {
            if (!pending.hasRemaining()) {
                int count = client.read(pending.clear());
                pending.flip();
                if (count < 0) {
                    close(client); // Everything is read and written, so this sends FIN, no reset.
                    return;
                }
            }
            client.write(pending);
            boolean isBlocked = pending.hasRemaining();
            key.interestOps(isBlocked ? SelectionKey.OP_WRITE : SelectionKey.OP_READ);
        } catch (IOException e) {
            close(client); // The client has reset it.
        }
    }

    private static void close(SocketChannel client) {
        try {
            client.close();
        } catch (IOException e) {
            System.err.println("close: " + e.getMessage());
        }
    }
}
