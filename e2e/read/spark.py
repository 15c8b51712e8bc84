"""Reads the rows and the dead letters of a topic in a folder with Apache Spark, every column of them.

usage: spark.py FOLDER TOPIC; prints [rows, dead], each checked for doubled offsets.
"""

import json
import os
import sys

from pyspark.sql import SparkSession, functions


def count(spark, folder):
    if not os.path.isdir(folder):
        return 0
    rows = spark.read.option("recursiveFileLookup", True).parquet(folder)
    # Spark reads only the columns that an answer needs; maps have no hash, JSON takes them all.
    every_column = functions.xxhash64(functions.to_json(functions.struct(*rows.columns)))
    total, distinct, _ = rows.select(
        functions.count("*"),
        functions.countDistinct("kafka_partition", "kafka_offset"),
        functions.max(every_column),
    ).first()
    if total != distinct:
        sys.exit(f"{total - distinct} doubled rows in {folder}")
    return total


folder, topic = sys.argv[1:]
spark = (
    SparkSession.builder.master("local[2]")
    .config("spark.ui.enabled", False)
    .config("spark.ui.showConsoleProgress", False)
    .config("spark.driver.bindAddress", "127.0.0.1")
    .config("spark.driver.host", "127.0.0.1")
    .config("spark.log.level", "ERROR")
    .getOrCreate()
)
print(json.dumps([count(spark, f"{folder}/{topic}"), count(spark, f"{folder}/_dlq/{topic}")]))
