/** What a broker of a gateway that acknowledges after the fsync is best given; docs and `check` name the same. */
export const recommended = ["max_inflight_messages 0", "max_queued_messages 0", "set_tcp_nodelay true"];

/** As mosquitto ships, but for the queue: at full speed its 1,000 messages would overflow for every subscriber. */
export const shipped = ["max_queued_messages 0"];
