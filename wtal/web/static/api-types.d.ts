/** What the server sends and receives as JSON. Times are in seconds. */
import type { CustomColor, TimelineConfig } from "./types";

/** The model that processes videos. */
export interface ModelConfig {
  /** Its name. */
  run: string;
  /** Its fingerprint. */
  model: string;
  classes: string[];
  /** How the default thresholds were chosen. */
  thresholds: string;
}

/** GET /api/config */
export interface Config extends TimelineConfig, ModelConfig {
  folder: string;
  /** The colors that people set, by class. */
  custom_colors: Record<string, CustomColor>;
  formats: { name: string; title: string; suffix: string; hint: string }[];
  max_upload_bytes: number;
  video_suffixes: string[];
}

/** An entry of GET /api/videos */
export interface VideoInfo {
  key: string;
  name: string;
  /** Changes when the file is replaced. */
  version: string;
  state: "new" | "queued" | "running" | "failed" | "cancelled" | "done";
  /** How far detection is. */
  position: number;
  duration: number | null;
  /** 1 for the next video, 0 if the video is not queued. */
  queue_position: number;
  /** 1 for the video whose review helps most, 0 if it is reviewed. */
  review_position: number;
  /** Why detection failed, or when it was cancelled. */
  reason: string;
  /** What is shown in the list; `state` is that of detection. */
  status: "new" | "running" | "failed" | "predicted" | "edited" | "reviewed";
  edited: boolean;
  reviewed: boolean;
  revision: number;
  labels: string[];
}

/** GET /api/videos */
export interface VideoListing extends ModelConfig {
  videos: VideoInfo[];
  /** Old key to present key of renamed videos. */
  moved: Record<string, string>;
}

/** GET /api/videos/{key} */
export interface VideoDetails {
  key: string;
  name: string;
  version: string;
  duration: number | null;
  /** Frames per second; null if they are not known. */
  fps: number | null;
  /** The classes of the model output, which `packed` refers to. */
  classes: string[];
  /** See `decodeTimeline`; null without model output. */
  packed: string | null;
  /** The default threshold by class; null if the class is never shown. */
  thresholds: Record<string, number | null>;
  corrections: Corrections | null;
  /** The times to look at, in order. */
  moments: { time: number; label: string }[];
  /** Whether the corrections were made for another file with this name. */
  replaced: boolean;
}

export interface ApiSegment {
  label: string;
  start: number;
  end: number;
  score: number | null;
}

/** A timeline that a person corrected. A segment that ends where it starts is a point. */
export interface CorrectedTimeline {
  segments: ApiSegment[];
  /** Nothing happens outside the segments. */
  complete: boolean;
  /** A person has finished with the video. */
  reviewed: boolean;
}

export interface Corrections extends CorrectedTimeline {
  revision: number;
  /** ISO 8601 in UTC. */
  saved: string;
}

/** Shares and scores from 0 to 1; null if there is nothing to measure. */
export interface AgreementScores {
  kappa: number | null;
  events: number;
  reference_events: number;
  matched: number;
  precision: number | null;
  recall: number | null;
  f1: number | null;
}

/** POST /api/budget */
export interface Budget {
  /** Number of videos with a timeline. */
  videos: number;
  duration: number | null;
  classes: {
    label: string;
    bouts: number;
    points: number;
    total: number;
    mean: number | null;
    median: number | null;
    share: number | null;
  }[];
  /** Of the model output with the corrected timelines; null if no video has both. */
  agreement: {
    overall: AgreementScores;
    classes: ({ label: string } & AgreementScores)[];
    videos: ({ name: string; mark: "complete" | "reviewed" | "edited" } & AgreementScores)[];
    notes: string[];
  } | null;
  remarks: string[];
}

/** Scores from 0 to 1: mean average precision over tIoU 0.1:0.7, and F1 at tIoU 0.5. */
export interface Scores {
  map: number;
  f1: number;
}

/** A model of GET /api/improvement; the first model has only the first three. */
export interface ModelEntry {
  id: string;
  title: string;
  active: boolean;
  /** ISO 8601 in UTC. */
  created?: string;
  labels?: Improvement["labels"];
  before?: Scores | null;
  after?: Scores | null;
  /** Names of the videos. */
  measured_on?: string[];
  /** Name of a video to the reason why it was not used. */
  skipped?: Record<string, string>;
}

/** GET /api/improvement */
export interface Improvement {
  state: "idle" | "running" | "failed" | "cancelled";
  error: string;
  stage: string;
  /** How much is done, from 0 to 1. */
  share: number;
  /** Why the model cannot be improved, "" if it can. */
  unavailable: string;
  /** What would be used now. */
  labels: { videos: number; points: number; segments: number; complete: number };
  /** The videos that would be measured on now. */
  measured_on: string[];
  /** The latest first. */
  models: ModelEntry[];
}

/** A video of GET /api/project */
export interface TaggedVideo {
  key: string;
  name: string;
  /** Changes when the file is replaced. */
  version: string;
  /** The tags; empty if nothing happens in the video, null if it is not tagged. */
  labels: string[] | null;
}

/** A change of the tags of a video, of POST /api/project/tags */
export interface TagChange {
  add?: string[];
  remove?: string[];
  /** Whether the video counts as tagged if no label remains. */
  tagged?: boolean;
}

/** The steps from videos to timelines. */
export interface TrainingInfo {
  /** `opening` while the model of the finished steps is loaded. */
  state: "idle" | "running" | "opening" | "done" | "failed" | "stopped";
  /** The present or last step, one of `steps`. */
  step: string;
  /** How much of the step is done, of how much; `total` is 0 if that is not known. */
  done: number;
  total: number;
  message: string;
  error: string;
  steps: string[];
  /** Whether this server does the steps. */
  can_stop: boolean;
  /** Whether nothing is left to do for the present tags and videos. */
  is_current: boolean;
}

/** GET /api/project; null if the server has a model alone. */
export interface ProjectInfo {
  folder: string;
  has_model: boolean;
  videos: TaggedVideo[];
  classes: { name: string; count: number }[];
  /** How many videos are tagged, and what is still needed. */
  summary: string;
  can_train: boolean;
  /** Why the tags cannot be read, "" if they can. */
  error: string;
  training: TrainingInfo;
  max_upload_bytes: number;
  video_suffixes: string[];
}
