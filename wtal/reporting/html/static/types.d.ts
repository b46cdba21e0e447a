/** Types of the timelines that the report and the web page share. */

/**
 * A time range of a class, or a point if it ends where it starts. `label` is an index into `TimelineConfig.classes`,
 * times are in seconds.
 */
export interface Segment {
  kind: "ground truth" | "prediction" | "proposal" | "edited";
  label: number;
  start: number;
  end: number;
  score: number | null;
}

/** What `decodeTimeline` returns. Attention and CAS are scaled to 0..255. */
export interface DecodedTimeline {
  /** T + 1 snippet edges in seconds, none without snippets. */
  edges: Float32Array;
  groundTruth: Segment[];
  predictions: Segment[];
  proposals: Segment[];
  attention: Uint8Array;
  /** The classes whose CAS is stored. */
  casLabels: number[];
  /** One row per class of `casLabels`. */
  cas: Uint8Array[];
  /** The lowest and highest score of the proposals. */
  minScore: number;
  maxScore: number;
  /** The classes that have a button. */
  labels: number[];
}

/** A row of segments above the curves. */
export interface Lane {
  name: string;
  segments: Segment[];
  outlined?: boolean;
  editable?: boolean;
  /** Not part of the table of segments. */
  secondary?: boolean;
}

/** A video as the timeline draws it. */
export interface VideoTimeline extends DecodedTimeline {
  name: string;
  /** The end of the time axis in seconds; 0 if no video is open. */
  end: number;
  lanes: Lane[];
  /** The classes that are drawn in color if there are too many for all to have one. */
  coloredLabels: number[];
}

/** Colors as #RRGGBB, by class. */
export interface ThemeColors {
  fill: string[];
  dark_fill: string[];
  /** Lines and text in the light theme. */
  light: string[];
  dark: string[];
}

/** The same for one class, whose color was set by a person. */
export type CustomColor = Record<keyof ThemeColors, string>;

/** What holds for all videos. */
export interface TimelineConfig {
  classes: string[];
  /** The keys that mark the first classes. */
  keys?: string[];
  colors: ThemeColors;
  /** By name of the class. */
  customColors?: Map<string, CustomColor>;
  /** The scores with the lowest and the highest opacity. */
  score_range: [number, number];
}

/** A lane or curve with its position on the canvas, in pixels. */
export interface Block {
  name: string;
  y: number;
  height: number;
  curve?: "attention" | "cas";
  segments?: Segment[];
  rows?: Map<Segment, number>;
  rowHeight?: number;
  /** Class names beside the rows, with -1 as the label of a name that stands for several classes. */
  rowNames?: [number, string][];
  outlined?: boolean;
  editable?: boolean;
  /** Drawn with the score as opacity. */
  faint?: boolean;
}

/** The state of a timeline that input changes and drawing reads. */
export interface View {
  video: VideoTimeline;
  /** The visible range in seconds. */
  from: number;
  to: number;
  playhead: number;
  hovered: Segment | null;
  selected: Segment | null;
  hiddenLabels: Set<number>;
  threshold: number;
  blocks: Block[];
  /** Size of the canvas. Reading the width from the DOM in each frame would force a layout. */
  width: number;
  height: number;
  isPrinting: boolean;
  isDark: boolean;
  colors: { paper: string; text: string; muted: string; rule: string; attention: string };
}

/** What is at a position of the canvas. */
export interface Hit {
  block: Block | null;
  segment: Segment | null;
  edge: Edge | null;
  seconds: number;
}

export type Edge = "start" | "end";
/** What a drag moves. */
export type Part = Edge | "whole";

/** Called by the timeline. Pages that edit segments set the first three. */
export interface TimelineListeners {
  /** An edge or a whole segment is being dragged; `seconds` is the new time of the edge, or of the start. */
  onDrag?: (segment: Segment, part: Part, seconds: number) => void;
  /** The segment was released; `isKept` is false if the drag was cancelled. */
  onDragEnd?: (isKept: boolean) => void;
  /** Returns whether the double click was handled. */
  onDoubleClick?: (hit: Hit) => boolean;
  onSelect?: (segment: Segment | null) => void;
  /** The lanes or the filters changed. */
  onRefresh?: () => void;
  onSeek?: (seconds: number) => void;
}

export type Shortcuts = Record<string, () => void>;

/** What input does to a timeline. */
export interface TimelineInput {
  readonly playhead: number;
  readonly range: { from: number; to: number };
  readonly selected: Segment | null;
  readonly video: VideoTimeline;
  announceSegment(segment: Segment): void;
  centerAt(x: number): void;
  fit(): void;
  hitTest(x: number, y: number, isTouch?: boolean): Hit;
  hover(segment: Segment | null, x?: number, y?: number): void;
  pan(distance: number, range: { from: number; to: number }): void;
  seek(seconds: number): void;
  select(segment: Segment | null): void;
  showRange(start: number, end: number): void;
  stepSegment(direction: 1 | -1): void;
  stepSnippet(direction: 1 | -1): void;
  zoom(factor: number, center?: number): void;
}
