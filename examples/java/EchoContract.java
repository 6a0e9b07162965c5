// Echo server on Java NIO that speaks docs/CONTRACT.md: one thread, one selector.
//
// Usage:  java EchoContract.java [--listen 127.0.0.1:8080]... [--announce text|json] ...
// Needs:  JDK 17.

import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.StandardProtocolFamily;
import java.net.StandardSocketOptions;
import java.nio.ByteBuffer;
import java.nio.channels.SelectionKey;
import java.nio.channels.Selector;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import sun.misc.Signal;

public final class EchoContract {
    private static final int BACKLOG = 1024;
    private static final int EX_UNAVAILABLE = 69;
    private static final long ACCEPT_PAUSE_NANOS = 200_000_000;

    private final Options options;
    private final Selector selector;
    private final List<ServerSocketChannel> listeners = new ArrayList<>();
    private final Set<Connection> open = new HashSet<>();
    private final AtomicBoolean signalled = new AtomicBoolean();
    private volatile boolean stopping;
    private long acceptAgainAt; // 0: the listeners are watched

    private EchoContract(Options options, Selector selector) {
        this.options = options;
        this.selector = selector;
    }

    public static void main(String[] arguments) throws IOException {
        Options options = new Options(arguments);
        Selector selector = Selector.open();
        // Java has no other way to tell the driver. On Windows, wepoll uses AFD.
        String name = selector.getClass().getSimpleName();
        String driver = Map.of("EPollSelectorImpl", "epoll", "KQueueSelectorImpl", "kqueue",
                "WEPollSelectorImpl", "afd").getOrDefault(name, "");
        if (driver.isEmpty()) {
            refuse("unavailable", "docs/CONTRACT.md has no name for " + name);
        }
        if (!options.driver.isEmpty() && !options.driver.equals(driver)) {
            options.lacks.add("driver " + options.driver);
        }
        if (!options.lacks.isEmpty()) {
            refuse("unsupported", "java-nio has no " + options.lacks.get(0));
        }
        EchoContract server = new EchoContract(options, selector);
        for (InetSocketAddress address : options.listen) {
            try {
                server.listen(address);
            } catch (IOException | UnsupportedOperationException e) { // The latter if no IPv6.
                die(1, "listen on " + text(address) + ": " + e.getMessage());
            }
        }
        for (String signal : List.of("TERM", "INT")) {
            Signal.handle(new Signal(signal), ignored -> server.onSignal());
        }
        server.announce(driver);
        if (options.stopOnStdinEof) {
            Thread thread = new Thread(server::stopOnStdinEof);
            thread.setDaemon(true);
            thread.start();
        }
        server.serve();
        server.drain();
        System.exit(0);
    }

    private void listen(InetSocketAddress address) throws IOException {
        if (!address.getAddress().isLoopbackAddress()) {
            log("warning: other hosts can reach " + text(address) + ", an open echo server");
        }
        boolean isV4 = address.getAddress().getAddress().length == 4;
        ServerSocketChannel listener = ServerSocketChannel.open(
                isV4 ? StandardProtocolFamily.INET : StandardProtocolFamily.INET6);
        // Java sets SO_REUSEADDR on Unix and not on Windows, which is right.
        listener.bind(address, BACKLOG).configureBlocking(false);
        listener.register(selector, SelectionKey.OP_ACCEPT);
        listeners.add(listener);
    }

    // Runs in its own thread, outside the selector's.
    private void onSignal() {
        if (signalled.getAndSet(true) || stopping) {
            log("stopped by a second signal");
            Runtime.getRuntime().halt(1);
        }
        stop();
    }

    private void stopOnStdinEof() {
        byte[] ignored = new byte[4096];
        try {
            while (System.in.read(ignored) >= 0) {}
        } catch (IOException e) {
            log("standard input: " + e.getMessage()); // Counts as the end.
        }
        stop();
    }

    private void stop() {
        stopping = true;
        selector.wakeup();
    }

    private void serve() throws IOException {
        while (!stopping) {
            turn(acceptAgainAt);
            if (acceptAgainAt != 0 && acceptAgainAt - System.nanoTime() <= 0) {
                acceptAgainAt = 0;
                watchListeners(SelectionKey.OP_ACCEPT);
            }
        }
    }

    /** Waits for events until {@code moment} at most (0 means no limit), and handles them. */
    private void turn(long moment) throws IOException {
        long leftMillis = moment == 0 ? 0 : Math.max(1, (moment - System.nanoTime()) / 1_000_000);
        selector.select(this::onReady, leftMillis);
    }

    private void onReady(SelectionKey key) {
        if (key.attachment() instanceof Connection connection) {
            connection.goOn();
        } else if (key.isValid() && !takeQueue((ServerSocketChannel) key.channel())) {
            // Without a free descriptor, the listener stays ready, and watching it would spin. So
            // it is not watched for a while, and then tried again even if no client arrives.
            watchListeners(0);
            acceptAgainAt = System.nanoTime() + ACCEPT_PAUSE_NANOS;
        }
    }

    private void watchListeners(int operations) {
        for (ServerSocketChannel listener : listeners) {
            listener.keyFor(selector).interestOps(operations);
        }
    }

    /** Accepts the clients that wait. Returns false if the system refused one. */
    private boolean takeQueue(ServerSocketChannel listener) {
        for (int turn = 0; turn <= BACKLOG; turn++) {
            SocketChannel client;
            try {
                client = listener.accept();
            } catch (IOException e) {
                log("accept: " + e.getMessage() + "; trying again in 0.2 s");
                return false;
            }
            if (client == null) {
                return true;
            }
            try {
                open.add(new Connection(client));
            } catch (IOException e) {
                closeQuietly(client); // The client has already reset it.
            }
        }
        return true;
    }

    /** Ends every connection cleanly, until the drain deadline. */
    private void drain() throws IOException {
        long deadline = System.nanoTime() + options.drainNanos;
        for (ServerSocketChannel listener : listeners) {
            takeQueue(listener); // Closing a listener resets the clients in its queue.
            listener.close();
        }
        // A closed channel keeps its descriptor, and so its port, until the next selection.
        selector.selectNow(this::onReady);
        List.copyOf(open).forEach(Connection::finish);
        while (!open.isEmpty() && deadline - System.nanoTime() > 0) {
            turn(deadline);
        }
        log("drained; connections cut: " + open.size());
    }

    /** One connection. Each write comes before the next read, which bounds its memory. */
    private final class Connection {
        private final SocketChannel channel;
        private final SelectionKey key;
        private final ByteBuffer buffer; // between position and limit: what is still to be written
        private boolean finishing; // after the stop: FIN follows the pending bytes
        private boolean finSent;

        Connection(SocketChannel channel) throws IOException {
            this.channel = channel;
            buffer = ByteBuffer.allocate(options.bufferBytes).limit(0);
            channel.configureBlocking(false);
            channel.setOption(StandardSocketOptions.TCP_NODELAY, true);
            key = channel.register(selector, SelectionKey.OP_READ, this);
        }

        void goOn() {
            try {
                if (flush() && fill()) {
                    flush();
                }
            } catch (IOException e) {
                close(); // A reset ends only this connection.
            }
        }

        /** After the stop: echoes what has arrived by now, then sends FIN. */
        void finish() {
            try {
                if (buffer.hasRemaining() || fill()) {
                    finishing = true;
                    flush();
                }
            } catch (IOException e) {
                close();
            }
        }

        /** Writes what is pending. Returns whether all of it is written. */
        private boolean flush() throws IOException {
            if (buffer.hasRemaining()) {
                channel.write(buffer);
            }
            boolean isBlocked = buffer.hasRemaining();
            if (finishing && !finSent && !isBlocked) {
                channel.shutdownOutput();
                finSent = true;
            }
            key.interestOps(isBlocked ? SelectionKey.OP_WRITE : SelectionKey.OP_READ);
            return !isBlocked;
        }

        /** Reads what has arrived. Returns whether the connection stays open. */
        private boolean fill() throws IOException {
            int count = channel.read(buffer.clear());
            if (finSent) {
                buffer.clear(); // Input after our FIN is dropped.
            }
            buffer.flip();
            if (count < 0) {
                close(); // Nothing is left to read or write, so this sends FIN and not a reset.
            }
            return count >= 0;
        }

        private void close() {
            closeQuietly(channel);
            open.remove(this);
        }
    }

    private void announce(String driver) throws IOException {
        List<String> addresses = new ArrayList<>();
        for (ServerSocketChannel listener : listeners) {
            addresses.add(text((InetSocketAddress) listener.getLocalAddress()));
        }
        String runtime = System.getProperty("java.runtime.name") + " "
                + System.getProperty("java.version") + " NIO";
        if (options.isJson) {
            String texts = addresses.stream().map(address -> quoted("tcp:" + address))
                    .collect(Collectors.joining(","));
            System.out.printf("{\"ready\":1,\"listeners\":[%s],\"backend\":\"java-nio\","
                    + "\"runtime\":%s,\"model\":\"readiness\",\"driver\":%s,\"flavor\":\"default\","
                    + "\"workers\":1,\"capabilities\":[]}%n",
                    texts, quoted(runtime), quoted(driver));
        } else {
            addresses.forEach(address -> System.out.println("Server listening on " + address));
        }
        log(runtime + ", model readiness, driver " + driver + ", 1 worker");
    }

    private static String text(InetSocketAddress address) {
        String host = address.getAddress().getHostAddress();
        // Java writes all eight groups of an IPv6 address.
        String brief = host.replaceFirst("(^|:)(0(:|$)){2,}", "::");
        return (host.contains(":") ? "[" + brief + "]" : host) + ":" + address.getPort();
    }

    private static String quoted(String text) {
        return text.chars()
                .mapToObj(c -> c < ' ' || c == '"' || c == '\\' || c > '~'
                        ? String.format("\\u%04x", c) : Character.toString(c))
                .collect(Collectors.joining("", "\"", "\""));
    }

    private static void refuse(String how, String reason) {
        System.out.println("{" + quoted(how) + ":" + quoted(reason) + "}");
        die(EX_UNAVAILABLE, reason);
    }

    private static void die(int status, String message) {
        log("error: " + message);
        System.exit(status);
    }

    private static void log(String text) {
        System.err.println(text);
    }

    private static void closeQuietly(SocketChannel channel) {
        try {
            channel.close();
        } catch (IOException e) {
            log("close: " + e.getMessage());
        }
    }

    /** The command line. */
    private static final class Options {
        private static final String OCTET = "(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[0-9]{1,2})";
        private static final Pattern ADDRESS = Pattern.compile("(?:tcp:)?(\\[[0-9a-fA-F:.]+]|"
                + OCTET + "(?:\\." + OCTET + "){3}):([0-9]{1,5})");

        final List<InetSocketAddress> listen = new ArrayList<>();
        final List<String> lacks = new ArrayList<>(); // asked for, but not offered
        String driver = "";
        boolean isJson;
        boolean stopOnStdinEof;
        int bufferBytes = 4096;
        long drainNanos = 5_000_000_000L;

        Options(String[] arguments) {
            for (int i = 0; i < arguments.length; i++) {
                if (arguments[i].equals("--stop-on-stdin-eof")) {
                    stopOnStdinEof = true;
                } else if (arguments[i].equals("--dual-stack")) {
                    continue; // Java always does this
                } else if (i + 1 < arguments.length) {
                    set(arguments[i], arguments[++i]);
                } else {
                    die(2, arguments[i] + ": write an option and its value");
                }
            }
            if (listen.isEmpty() && lacks.isEmpty()) {
                set("--listen", "127.0.0.1:8080");
            }
        }

        private void set(String name, String value) {
            switch (name) {
                case "--listen" -> addListener(value);
                case "--announce" -> isJson = in("text|json", name, value).group().equals("json");
                case "--flavor" -> in("default", name, value);
                case "--driver" -> driver = value;
                case "--workers" -> in("1", name, value); // one thread by nature
                case "--buffer" -> {
                    bufferBytes = Integer.parseInt(in("[1-9][0-9]{0,6}", name, value).group());
                }
                case "--drain" -> {
                    Matcher parts = in("([0-9]{1,5})(s|ms)", name, value);
                    long unitNanos = parts.group(2).equals("s") ? 1_000_000_000 : 1_000_000;
                    drainNanos = Long.parseLong(parts.group(1)) * unitNanos;
                }
                case "--capability" -> lacks.add("capability " + value);
                default -> die(2, name + " is no option: write --listen, --announce or --drain");
            }
        }

        private static Matcher in(String form, String name, String value) {
            Matcher matcher = Pattern.compile(form).matcher(value);
            if (!matcher.matches()) {
                die(2, name + " " + value + ": write what matches " + form);
            }
            return matcher;
        }

        private void addListener(String value) {
            Matcher kind = Pattern.compile("(udp|unix|unixgram|cpu):.*").matcher(value);
            Matcher parts = ADDRESS.matcher(value);
            if (kind.matches()) {
                lacks.add(kind.group(1) + " listeners");
                return;
            }
            try {
                if (parts.matches() && Integer.parseInt(parts.group(2)) <= 65535) {
                    InetAddress host = InetAddress.getByName(parts.group(1)); // no name lookup
                    listen.add(new InetSocketAddress(host, Integer.parseInt(parts.group(2))));
                    return;
                }
            } catch (IOException e) {
                log(e.getMessage());
            }
            die(2, "--listen '" + value + "': write 127.0.0.1:8080, or [::1]:0 for any free port");
        }
    }
}
