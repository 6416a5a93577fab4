package jobico.streams;

import static java.nio.charset.StandardCharsets.UTF_8;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import com.networknt.schema.JsonSchema;
import com.networknt.schema.OutputFormat;
import java.io.IOException;
import java.io.UncheckedIOException;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.header.internals.RecordHeaders;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.processor.api.RecordMetadata;

/**
 * Validates an event, registers the customer as examples/customer-registration does, and passes on what comes of it,
 * with the headers that a result of Jobico has. One instance for each task, which is one partition.
 */
final class Registration implements Processor<byte[], byte[], byte[], byte[]> {
  static final String RESULTS = "results";
  static final String DEAD = "dead";

  private static final ObjectMapper JSON = new ObjectMapper();

  // As in the example's job file; the digest stands for one of the function.
  private static final Header SPECVERSION = header("ce_specversion", "1.0");
  private static final Header SOURCE = header("ce_source", "/jobs/my-tenant-1/customer-proc-jobs");
  private static final Header TYPE = header("ce_type", "customer-proc-jobs.result");
  private static final Header JOB = header("jobico-job", "customer-proc-jobs");
  private static final Header FUNCTION = header("jobico-function", "customer.wasm@" + "0123456789abcdef".repeat(4));
  private static final Header ATTEMPTS = header("jobico-attempts", "1");
  private static final Header INDEX = header("jobico-index", "0/1");
  private static final Header OK = header("jobico-status", "ok");
  private static final Header ERROR = header("jobico-status", "error");
  private static final Header CODE_OK = header("jobico-code", "0");
  private static final Header CODE_BLANK = header("jobico-code", "10");

  private final JsonSchema schema;
  private final Runnable onEvent;
  private ProcessorContext<byte[], byte[]> context;
  private Header partition;

  Registration(JsonSchema schema, Runnable onEvent) {
    this.schema = schema;
    this.onEvent = onEvent;
  }

  @Override
  public void init(ProcessorContext<byte[], byte[]> context) {
    this.context = context;
    partition = header("jobico-origin-partition", Integer.toString(context.taskId().partition()));
  }

  @Override
  public void process(Record<byte[], byte[]> event) {
    onEvent.run();
    JsonNode json;
    try {
      json = JSON.readTree(event.value());
    } catch (JsonProcessingException error) {
      die(event, "json", error.getOriginalMessage());
      return;
    } catch (IOException error) {
      throw new UncheckedIOException(error);
    }
    // The quickest form of a verdict: it ends at the first violation and collects nothing.
    if (schema.validate(json, OutputFormat.BOOLEAN)) {
      register(event, (ObjectNode) json);
    } else {
      die(event, "schema", schema.validate(json).toString());
    }
  }

  /** The tree that was validated is used on, which a function in a sandbox cannot do. */
  private void register(Record<byte[], byte[]> event, ObjectNode customer) {
    String firstName = customer.get("firstName").textValue();
    if (firstName.isBlank()) {
      answer(event, ERROR, CODE_BLANK, "firstName is blank".getBytes(UTF_8));
      return;
    }
    customer.remove("debug");
    customer.put("greeting", "Welcome, " + firstName);
    customer.put("registered", true);
    try {
      answer(event, OK, CODE_OK, JSON.writeValueAsBytes(customer));
    } catch (JsonProcessingException error) {
      throw new UncheckedIOException(error);
    }
  }

  private void answer(Record<byte[], byte[]> event, Header status, Header code, byte[] value) {
    RecordMetadata origin = origin();
    String id = id(origin);
    Header[] headers = {
      SPECVERSION, header("ce_id", id + ".0"), SOURCE, TYPE, status, code, JOB, FUNCTION, header("jobico-event", id),
      header("jobico-origin-topic", origin.topic()), partition, offset(origin), ATTEMPTS, INDEX,
    };
    context.forward(event.withValue(value).withHeaders(new RecordHeaders(headers)), RESULTS);
  }

  private void die(Record<byte[], byte[]> event, String code, String message) {
    RecordMetadata origin = origin();
    Header[] cause = {
      header("jobico-error-stage", "validate"), header("jobico-error-code", code),
      header("jobico-error-message", message), header("jobico-origin-topic", origin.topic()), partition, offset(origin),
      header("jobico-event", id(origin)), ATTEMPTS, JOB, FUNCTION,
    };
    RecordHeaders headers = new RecordHeaders(event.headers());
    for (Header each : cause) {
      headers.add(each);
    }
    context.forward(event.withHeaders(headers), DEAD);
  }

  private RecordMetadata origin() {
    return context.recordMetadata().orElseThrow();
  }

  private static String id(RecordMetadata origin) {
    return origin.topic() + '-' + origin.partition() + '-' + origin.offset();
  }

  private static Header offset(RecordMetadata origin) {
    return header("jobico-origin-offset", Long.toString(origin.offset()));
  }

  private static Header header(String name, String value) {
    return new RecordHeader(name, value.getBytes(UTF_8));
  }
}
