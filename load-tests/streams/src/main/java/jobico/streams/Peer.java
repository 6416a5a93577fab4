package jobico.streams;

import com.networknt.schema.JsonSchema;
import com.networknt.schema.JsonSchemaFactory;
import com.networknt.schema.SpecVersion.VersionFlag;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;

/**
 * Kafka Streams doing what Jobico's processor does with examples/customer-registration, to measure Jobico against.
 *
 * <pre>queue ─► parse ─► JSON Schema ─► register ─► results    (invalid ─► dead)</pre>
 *
 * Says {@code ready APPLICATION-ID} once it is warm, then works until it is told to stop.
 */
public final class Peer {
  private static final String USAGE =
      """
      usage: Peer --bootstrap HOST:PORT --application ID --input TOPIC --output TOPIC --dead TOPIC --schema FILE
                  --threads N --commit-ms N --guarantee exactly_once_v2|at_least_once
                  [--warm-up-events N --warm-up-output TOPIC]""";

  private final Map<String, String> settings = new HashMap<>();
  private final JsonSchema schema;

  public static void main(String[] arguments) throws Exception {
    Peer peer = new Peer(arguments);
    peer.warmUp();
    String application = peer.setting("application");
    System.out.println("ready " + application);
    KafkaStreams streams = peer.start(application, peer.setting("output"), () -> {});
    Runtime.getRuntime().addShutdownHook(new Thread(streams::close));
    new CountDownLatch(1).await();
  }

  private Peer(String[] arguments) throws IOException {
    for (int i = 0; i + 1 < arguments.length; i += 2) {
      settings.put(arguments[i].replaceFirst("^--", ""), arguments[i + 1]);
    }
    String text = Files.readString(Path.of(setting("schema")));
    schema = JsonSchemaFactory.getInstance(VersionFlag.V202012).getSchema(text);
    // Else the first event would.
    schema.initializeValidators();
  }

  /**
   * Handles so many events as another application, in this JVM: what is measured afterwards runs on compiled code, as
   * in a service that has been up for a minute.
   */
  private void warmUp() throws InterruptedException {
    int events = Integer.parseInt(settings.getOrDefault("warm-up-events", "0"));
    if (events == 0) {
      return;
    }
    CountDownLatch toCome = new CountDownLatch(events);
    String application = setting("application") + ".warm-up";
    try (KafkaStreams streams = start(application, setting("warm-up-output"), toCome::countDown)) {
      toCome.await();
    }
  }

  private KafkaStreams start(String application, String output, Runnable onEvent) {
    KafkaStreams streams = new KafkaStreams(topology(output, onEvent), config(application));
    streams.setStateListener(
        (now, before) -> {
          if (now == KafkaStreams.State.ERROR) {
            // A measurement of a peer that limps on would be worth nothing.
            Runtime.getRuntime().halt(1);
          }
        });
    streams.start();
    return streams;
  }

  private Topology topology(String output, Runnable onEvent) {
    ByteArrayDeserializer in = new ByteArrayDeserializer();
    ByteArraySerializer out = new ByteArraySerializer();
    return new Topology()
        .addSource("queue", in, in, setting("input"))
        .addProcessor("registration", () -> new Registration(schema, onEvent), "queue")
        .addSink(Registration.RESULTS, output, out, out, "registration")
        .addSink(Registration.DEAD, setting("dead"), out, out, "registration");
  }

  /** What is set here is what was quickest, or evens out what Jobico's client has by default. */
  private Properties config(String application) {
    Properties config = new Properties();
    config.put(StreamsConfig.APPLICATION_ID_CONFIG, application);
    config.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, setting("bootstrap"));
    config.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, setting("guarantee"));
    config.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, setting("threads"));
    config.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, setting("commit-ms"));
    // There is no state: nothing to cache or to keep.
    config.put(StreamsConfig.STATESTORE_CACHE_MAX_BYTES_CONFIG, 0);
    config.put(StreamsConfig.STATE_DIR_CONFIG, "state");
    // Large polls that are not stopped by full buffers of single partitions.
    config.put(StreamsConfig.BUFFERED_RECORDS_PER_PARTITION_CONFIG, 10_000);
    config.put(StreamsConfig.consumerPrefix(ConsumerConfig.MAX_POLL_RECORDS_CONFIG), 10_000);
    config.put(StreamsConfig.consumerPrefix(ConsumerConfig.AUTO_OFFSET_RESET_CONFIG), "earliest");
    // librdkafka does not check them either.
    config.put(StreamsConfig.consumerPrefix(ConsumerConfig.CHECK_CRCS_CONFIG), false);
    config.put(StreamsConfig.producerPrefix(ProducerConfig.COMPRESSION_TYPE_CONFIG), "lz4");
    config.put(StreamsConfig.producerPrefix(ProducerConfig.BATCH_SIZE_CONFIG), 256 << 10);
    // Under load batches fill before that; under light load a commit finds less that is still to be sent.
    config.put(StreamsConfig.producerPrefix(ProducerConfig.LINGER_MS_CONFIG), 5);
    return config;
  }

  private String setting(String name) {
    String value = settings.get(name);
    if (value == null) {
      System.err.println("--" + name + " is missing\n" + USAGE);
      System.exit(2);
    }
    return value;
  }
}
