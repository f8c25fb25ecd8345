"""The same in Python, committing every 1,000 messages. usage: python-script.py PORT COUNT MODEL DATABASE WINDOW"""
import json, os, resource, sqlite3, sys, time

import nacl.secret, nacl.utils
import numpy as np
import onnxruntime as ort
import paho.mqtt.client as mqtt

port, count, model, file, size = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4], int(sys.argv[5])
options = ort.SessionOptions()
options.intra_op_num_threads = 1
session = ort.InferenceSession(model, options)
name = session.get_inputs()[0].name
database = sqlite3.connect(file)
database.execute("PRAGMA journal_mode = WAL")
database.execute("PRAGMA synchronous = FULL")
database.execute("CREATE TABLE reading (id INTEGER PRIMARY KEY, body BLOB)")
box = nacl.secret.SecretBox(nacl.utils.random(32))
window = np.zeros((1, size, 2), np.float32)
seen, first, used = 0, 0.0, 0.0


def cpu():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def on_message(client, userdata, message):
    global seen, first, used
    if seen == 0:
        first, used = time.time(), cpu()
    seen += 1
    reading = json.loads(message.payload)
    window[0, :-1] = window[0, 1:]
    window[0, -1] = (reading["temperature"], reading["humidity"])
    session.run(None, {name: window})
    database.execute("INSERT INTO reading (body) VALUES (?)", (box.encrypt(message.payload),))
    if seen % 1000 == 0:
        database.commit()
    if seen == count:
        database.commit()
        print(json.dumps({"count": seen, "seconds": time.time() - first, "cpuSeconds": cpu() - used}), flush=True)
        os._exit(0)


def on_connect(client, userdata, flags, reason, properties):
    client.subscribe("bench/#", 0)
    print("ready", flush=True)


client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
client.on_connect, client.on_message = on_connect, on_message
client.connect("127.0.0.1", port)
client.loop_forever()
